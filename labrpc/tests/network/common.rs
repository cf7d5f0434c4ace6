//! A service that does what its arguments say, a network to run it on, and nodes that count their threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use labrpc::{Client, Network, NetworkOptions, Result, RpcError, Server, Spawn, Threads};
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

/// Well above what anything here takes that is not meant to wait, and well below what is.
pub(crate) const SOON: Duration = Duration::from_millis(1500);

/// Well below the five seconds after which an idle thread ends by itself.
const AT_ONCE: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Text(pub(crate) String);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Number(pub(crate) u64);

labrpc::service! {
    /// What the tests call.
    pub(crate) service "test" {
        trait TestService; client TestClient;
        /// As many letters as asked for.
        rpc letters(Number) -> Text;
        /// The text backwards.
        rpc reverse(Text) -> Text;
        /// The number plus one, from an `async` handler.
        async rpc next(Number) -> Number;
        /// The number, when the gate of this number has been opened.
        rpc gate(Number) -> Number;
        /// The same, without a blocked thread.
        async rpc async_gate(Number) -> Number;
        /// No answer.
        rpc refuse(Number) -> Number;
        /// A panic.
        rpc panic(Number) -> Number;
        /// A panic in an `async` handler.
        async rpc async_panic(Number) -> Number;
    }
}

/// Gates that handlers wait at: those below `open` are open.
#[derive(Default)]
pub(crate) struct Gates {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    open: u64,
    waiting: usize,
    wakers: Vec<std::task::Waker>,
}

impl Gates {
    /// Opens all gates below `number`.
    pub(crate) fn open(&self, number: u64) {
        let mut state = self.state.lock();
        state.open = number;
        let wakers = std::mem::take(&mut state.wakers);
        self.changed.notify_all();
        drop(state);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }

    /// Waits until this many handlers wait at a gate.
    pub(crate) fn until_waiting(&self, count: usize) {
        let mut state = self.state.lock();
        while state.waiting < count {
            let late = self.changed.wait_for(&mut state, SOON * 10).timed_out();
            assert!(!late, "{} of {count} handlers have come", state.waiting);
        }
    }

    /// Waits until the gate is open.
    pub(crate) fn pass(&self, number: u64) {
        let mut state = self.state.lock();
        state.waiting += 1;
        self.changed.notify_all();
        while state.open <= number {
            self.changed.wait(&mut state);
        }
        state.waiting -= 1;
    }
}

/// The server's side.
#[derive(Clone, Default)]
pub(crate) struct Tester {
    pub(crate) gates: Arc<Gates>,
    /// How many handlers have started.
    pub(crate) started: Arc<AtomicUsize>,
}

impl TestService for Tester {
    fn letters(&self, Number(count): Number) -> Result<Text> {
        self.started.fetch_add(1, SeqCst);
        Ok(Text("a".repeat(count as usize)))
    }

    fn reverse(&self, Text(text): Text) -> Result<Text> {
        self.started.fetch_add(1, SeqCst);
        Ok(Text(text.chars().rev().collect()))
    }

    async fn next(&self, Number(number): Number) -> Result<Number> {
        self.started.fetch_add(1, SeqCst);
        Ok(Number(number + 1))
    }

    fn gate(&self, Number(number): Number) -> Result<Number> {
        self.started.fetch_add(1, SeqCst);
        self.gates.pass(number);
        Ok(Number(number))
    }

    async fn async_gate(&self, Number(number): Number) -> Result<Number> {
        self.started.fetch_add(1, SeqCst);
        std::future::poll_fn(|context| {
            let mut state = self.gates.state.lock();
            if state.open > number {
                return std::task::Poll::Ready(());
            }
            state.wakers.push(context.waker().clone());
            std::task::Poll::Pending
        })
        .await;
        Ok(Number(number))
    }

    fn refuse(&self, _: Number) -> Result<Number> {
        Err(RpcError::Stopped)
    }

    fn panic(&self, _: Number) -> Result<Number> {
        panic!("on purpose")
    }

    async fn async_panic(&self, _: Number) -> Result<Number> {
        panic!("on purpose")
    }
}

/// A node that counts its threads.
#[derive(Default)]
pub(crate) struct Node {
    pub(crate) alive: Arc<AtomicUsize>,
    pub(crate) started: AtomicUsize,
}

impl Spawn for Node {
    fn spawn(&self, name: String, f: Box<dyn FnOnce() + Send>) {
        self.started.fetch_add(1, SeqCst);
        self.alive.fetch_add(1, SeqCst);
        let alive = Arc::clone(&self.alive);
        let run = move || {
            f();
            alive.fetch_sub(1, SeqCst);
        };
        Threads.spawn(name, Box::new(run));
    }
}

impl Node {
    pub(crate) fn until_no_threads(&self) {
        until_within(AT_ONCE, || self.alive.load(SeqCst) == 0);
    }
}

/// One server, `server`, and one client of it, `client`.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) tester: Tester,
    pub(crate) server: Arc<Node>,
    pub(crate) caller: Arc<Node>,
    /// The client, for the network's switches; enabled.
    pub(crate) client: Client,
    pub(crate) calls: TestClient,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(NetworkOptions::default())
    }

    pub(crate) fn instant() -> Self {
        Self::with(NetworkOptions { latency: Duration::ZERO..=Duration::ZERO, ..Default::default() })
    }

    pub(crate) fn with(options: NetworkOptions) -> Self {
        let network = Network::new(options);
        let (server, caller) = (Arc::new(Node::default()), Arc::new(Node::default()));
        let client = network.client("client", "server", caller.clone());
        network.enable(&client, true);
        let calls = TestClient::new(client.clone());
        let world = World { network, tester: Tester::default(), server, caller, client, calls };
        world.start_server();
        world
    }

    /// Starts the server, or restarts it.
    pub(crate) fn start_server(&self) {
        let mut server = Server::new("server", self.server.clone());
        server.add(self.tester.clone().into_service());
        self.network.add_server(server);
    }

    /// Another client of the server, enabled.
    pub(crate) fn client(&self, from: &str) -> TestClient {
        let client = self.network.client(from, "server", self.caller.clone());
        self.network.enable(&client, true);
        TestClient::new(client)
    }

    pub(crate) fn started(&self) -> usize {
        self.tester.started.load(SeqCst)
    }
}

pub(crate) fn text(text: &str) -> Text {
    Text(text.to_owned())
}

/// Runs `f` and says how long it took.
pub(crate) fn timed<T>(f: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = f();
    (result, start.elapsed())
}

/// Waits until `condition` holds.
pub(crate) fn until(condition: impl Fn() -> bool) {
    until_within(SOON * 10, condition);
}

fn until_within(time: Duration, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < time, "it does not come true");
        thread::sleep(Duration::from_millis(1));
    }
}
