//! What the staff runs, on a small course.

mod batch;
mod course;
mod one;
