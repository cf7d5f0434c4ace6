//! [`Timer`]: one thread that makes things happen when they are due.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Events in order of the time they are due, and for one time in the order they were scheduled.
pub(crate) struct Timer<E> {
    state: Mutex<State<E>>,
    wake: Condvar,
}

struct State<E> {
    queue: BinaryHeap<Entry<E>>,
    scheduled: u64,
    thread: Option<JoinHandle<()>>,
    /// The thread waits on `wake`, so that it has to be told of an event earlier than those it knows.
    asleep: bool,
    ended: bool,
}

struct Entry<E> {
    due: Instant,
    number: u64,
    event: E,
}

impl<E: Send + 'static> Timer<E> {
    pub(crate) fn new() -> Self {
        let state =
            State { queue: BinaryHeap::new(), scheduled: 0, thread: None, asleep: false, ended: false };
        Timer { state: Mutex::new(state), wake: Condvar::new() }
    }

    /// Starts the thread, which calls `fire` with each event when it is due, unless it runs already or was
    /// ended.
    pub(crate) fn start(self: &Arc<Self>, fire: impl Fn(E) + Send + 'static) {
        let mut state = self.state.lock();
        if state.thread.is_none() && !state.ended {
            let timer = Arc::clone(self);
            let run = move || timer.run(fire);
            let thread = thread::Builder::new().name("network".into()).spawn(run);
            state.thread = Some(thread.expect("cannot start the network's thread"));
        }
    }

    /// Lets `event` happen at `due`. Gives it back when the timer has ended.
    pub(crate) fn schedule(&self, due: Instant, event: E) -> Result<(), E> {
        let mut state = self.state.lock();
        if state.ended {
            return Err(event);
        }
        let wake = state.asleep && state.queue.peek().is_none_or(|first| due < first.due);
        let number = state.scheduled;
        state.scheduled += 1;
        state.queue.push(Entry { due, number, event });
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Ends the thread, waits for it, and returns the events that did not happen, in order.
    pub(crate) fn end(&self) -> Vec<E> {
        let mut state = self.state.lock();
        state.ended = true;
        let thread = state.thread.take();
        drop(state);
        self.wake.notify_one();
        // An event may end the timer; it cannot wait for itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            thread.join().expect("the network's thread catches panics");
        }
        let queue = std::mem::take(&mut self.state.lock().queue);
        queue.into_sorted_vec().into_iter().rev().map(|entry| entry.event).collect()
    }

    /// How many events are to happen.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.state.lock().queue.len()
    }

    fn run(&self, fire: impl Fn(E)) {
        let mut due = Vec::new();
        let mut state = self.state.lock();
        while !state.ended {
            let now = Instant::now();
            while state.queue.peek().is_some_and(|entry| entry.due <= now) {
                due.extend(state.queue.pop());
            }
            if due.is_empty() {
                state.asleep = true;
                match state.queue.peek().map(|entry| entry.due) {
                    Some(first) => drop(self.wake.wait_until(&mut state, first)),
                    None => self.wake.wait(&mut state),
                }
                state.asleep = false;
                continue;
            }
            drop(state);
            for entry in due.drain(..) {
                // What panics is an observer, and the panic has been reported; it must not stop the network.
                let _ = catch_unwind(AssertUnwindSafe(|| fire(entry.event)));
            }
            state = self.state.lock();
        }
    }
}

impl<E> Ord for Entry<E> {
    /// The entry due first is the greatest, as the heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);

    fn timer() -> (Arc<Timer<u32>>, mpsc::Receiver<u32>) {
        let (sender, receiver) = mpsc::channel();
        let timer = Arc::new(Timer::new());
        timer.start(move |event| sender.send(event).unwrap());
        (timer, receiver)
    }

    #[test]
    fn events_happen_in_order_and_not_before_they_are_due() {
        let (timer, happened) = timer();
        let start = Instant::now();
        for (due, event) in [(2, 4), (1, 1), (2, 5), (0, 0), (1, 2), (1, 3)] {
            timer.schedule(start + MOMENT * due, event).unwrap();
        }
        for event in 0..6 {
            assert_eq!(happened.recv().unwrap(), event);
        }
        assert!(start.elapsed() >= MOMENT * 2);
        assert_eq!(timer.end(), []);
    }

    #[test]
    fn an_earlier_event_wakes_the_sleeping_thread() {
        let (timer, happened) = timer();
        timer.schedule(Instant::now() + LONG, 2).unwrap();
        thread::sleep(MOMENT);
        timer.schedule(Instant::now() + MOMENT, 1).unwrap();
        assert_eq!(happened.recv().unwrap(), 1);
        assert_eq!(timer.end(), [2]);
    }

    #[test]
    fn the_end_returns_what_did_not_happen_and_accepts_no_more() {
        let (timer, happened) = timer();
        let later = Instant::now() + LONG;
        for event in [1, 2, 3] {
            timer.schedule(later, event).unwrap();
        }
        assert_eq!(timer.end(), [1, 2, 3]);
        assert_eq!(timer.schedule(later, 4), Err(4));
        assert!(happened.recv().is_err(), "the thread is gone, and its sender with it");
    }

    #[test]
    fn a_panic_stops_nothing() {
        let (sender, happened) = mpsc::channel();
        let timer = Arc::new(Timer::new());
        timer.start(move |event| if event == 1 { panic!("on purpose") } else { sender.send(event).unwrap() });
        timer.schedule(Instant::now(), 1).unwrap();
        timer.schedule(Instant::now() + MOMENT, 2).unwrap();
        assert_eq!(happened.recv().unwrap(), 2);
        timer.end();
    }
}
