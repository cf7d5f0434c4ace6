//! What the staff runs, on a small course.

mod batch;
mod course;
mod one;
#[path = "../stand_in/mod.rs"]
mod stand_in;
