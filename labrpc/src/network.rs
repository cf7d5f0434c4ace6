//! [`Network`]: the switches of the simulated network, for who runs the test.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::core::Core;
use crate::counts::Counts;
use crate::faults::Faults;
use crate::link::{Client, Link, LinkState};
use crate::observe::{Envelope, Fate, MessageId, Observer};
use crate::options::NetworkOptions;
use crate::pool::Spawn;
use crate::server::{Callee, Server};

/// A simulated network. None of its functions blocks, except that dropping it waits for its one thread.
///
/// When it is dropped, pending calls resolve [`Stopped`](crate::RpcError::Stopped), and so do all later
/// ones.
pub struct Network {
    pub(crate) core: Arc<Core>,
}

impl Network {
    /// A network without servers and clients, and [reliable](Faults::reliable).
    ///
    /// # Panics
    ///
    /// Panics when an option is out of range, and names it.
    pub fn new(options: NetworkOptions) -> Self {
        options.validate();
        Network { core: Arc::new(Core::new(options)) }
    }

    /// Puts a server behind its name, in place of the one that stands there if there is one. Its
    /// [counts](Self::counts) start at zero.
    pub fn add_server(&self, server: Server) {
        let pool = self.core.pool(server.on);
        let callee = Arc::new(Callee::new(server.services, pool));
        if let Some(earlier) = self.core.slot(&server.name).bind(Some(callee)) {
            earlier.pool.detach();
        }
    }

    /// Takes away the server behind a name, if there is one. Calls under way to it resolve
    /// [`Lost`](crate::RpcError::Lost) now; after this returns no handler of it starts, and no reply of it
    /// is delivered, unless held back by [`Faults::long_reordering`].
    pub fn delete_server(&self, name: &str) {
        if let Some(callee) = self.core.slot(name).bind(None) {
            callee.pool.detach();
        }
    }

    /// A client of node `from` for calls to server `to`, which need not exist yet. It is disabled.
    ///
    /// Callbacks of [`RpcFuture::on_reply`](crate::RpcFuture::on_reply) will run on threads of `on`.
    pub fn client(&self, from: &str, to: &str, on: Arc<dyn Spawn>) -> Client {
        // Started here, by who runs the test, and not by the first message: that may come from a node which
        // is crashed later, with all its threads.
        let core = Arc::downgrade(&self.core);
        self.core.timer.start(move |due| {
            if let Some(core) = core.upgrade() {
                core.fire(due);
            }
        });

        let pool = self.core.pool(on);
        pool.attach();
        let slot = self.core.slot(to);
        let faults = self.core.faults.lock();
        let mut slot_state = slot.state.lock();
        let nth = slot_state.clients.entry(from.to_owned()).or_default();
        let seed = self.core.link_seed(from, to, *nth);
        *nth += 1;
        let state = LinkState {
            enabled: false,
            closed: false,
            callee: slot_state.callee.clone(),
            faults: faults.clone(),
            own_faults: false,
            calls: 0,
            pending: Default::default(),
            watch: None,
            requests: Default::default(),
            replies: Default::default(),
        };
        let link = Arc::new(Link {
            core: Arc::clone(&self.core),
            from: from.to_owned(),
            slot: Arc::clone(&slot),
            to: to.to_owned(),
            seed,
            pool,
            state: Mutex::new(state),
        });
        slot_state.links.push(Arc::downgrade(&link));
        Client { link }
    }

    /// Lets a client's calls and their replies pass, or not. When they no longer do, calls under way
    /// resolve [`Lost`](crate::RpcError::Lost) now. A request on its way arrives all the same if the
    /// client is enabled again by then.
    pub fn enable(&self, client: &Client, yes: bool) {
        client.link.enable(yes);
    }

    /// Ends a client: its pending calls resolve [`Stopped`](crate::RpcError::Stopped) now, later ones after
    /// 0.1 ms. Requests on their way go on.
    pub fn close(&self, client: &Client) {
        client.link.close();
    }

    /// Sets the faults of all links, present and future, but those that have [their
    /// own](Self::set_link_faults). They hold for messages sent from now on.
    ///
    /// # Panics
    ///
    /// Panics when a field is out of range, and names it.
    pub fn set_faults(&self, faults: Faults) {
        faults.validate();
        let mut common = self.core.faults.lock();
        for link in self.core.links() {
            let mut state = link.state.lock();
            if !state.own_faults {
                state.faults = faults.clone();
            }
        }
        *common = faults;
    }

    /// Gives a client's link faults of its own, or with `None` those of the network again.
    ///
    /// # Panics
    ///
    /// Panics when a field is out of range, and names it.
    pub fn set_link_faults(&self, client: &Client, faults: Option<Faults>) {
        if let Some(faults) = &faults {
            faults.validate();
        }
        let common = self.core.faults.lock();
        let mut state = client.link.state.lock();
        state.own_faults = faults.is_some();
        state.faults = faults.unwrap_or_else(|| common.clone());
    }

    /// Adds an observer of all messages.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        self.core.add_observer(observer);
    }

    /// Lets `f` decide about each request whose server can be reached, and about each reply on its way
    /// back, in place of an earlier such function. It may call the network, but must not wait for other
    /// threads. A message it [holds](Fate::Hold) can be released as soon as an observer has seen
    /// [`Held`](crate::Step::Held), and not before: when it returns, the message is not held yet.
    pub fn intercept(&self, f: impl Fn(&Envelope<'_>) -> Fate + Send + Sync + 'static) {
        self.core.set_interceptor(Arc::new(f));
    }

    /// Lets a [held](Fate::Hold) message arrive now, if the way is open; false if no message of that number
    /// is held.
    pub fn release(&self, id: MessageId) -> bool {
        self.core.release(id)
    }

    /// What was counted of calls to the server of this name, since it was last added.
    pub fn counts(&self, server: &str) -> Counts {
        self.core.slot(server).counts()
    }

    /// What was counted of all calls to all servers, past ones included.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for slot in self.core.slots.lock().values() {
            total += slot.counters.read();
        }
        total
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.core.stop();
    }
}
