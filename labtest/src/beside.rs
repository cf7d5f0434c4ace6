//! [`Beside`]: another cluster in the process of a run, on empty disks and a network of its own.

use std::sync::Arc;

use labnode::Persister;
use labrpc::{Client, Network, NetworkOptions, Server, Threads};

use crate::cluster::{Cluster, Node};
use crate::run::Run;

/// Servers that nothing but the process joins with those of the run: to see that they begin with nothing. Nobody crashes
/// them, records what they do or judges it. They are killed when this is dropped.
pub struct Beside<N: Node> {
    network: Network,
    nodes: Vec<N>,
}

impl<N: Node> Beside<N> {
    /// Starts `servers` servers, all connected. `make` makes one from its number, a client to each server and its disk.
    pub fn start(run: &Run, servers: usize, make: impl Fn(usize, Vec<Client>, Persister) -> N) -> Beside<N> {
        let options =
            NetworkOptions { seed: run.seed(), clock: Cluster::<N>::clock(), ..NetworkOptions::default() };
        let mut beside = Beside { network: Network::new(options), nodes: Vec::new() };
        for me in 0..servers {
            let name = Cluster::<N>::name(me);
            let node = make(me, beside.clients_of(&name, servers), Persister::new());
            let mut server = Server::new(&name, Arc::new(Threads));
            node.services().into_iter().for_each(|service| server.add(service));
            beside.network.add_server(server);
            beside.nodes.push(node);
        }
        beside
    }

    /// The servers.
    pub fn nodes(&self) -> &[N] {
        &self.nodes
    }

    /// A client to each server, for somebody who is none.
    pub fn clients(&self) -> Vec<Client> {
        self.clients_of("client", self.nodes.len())
    }

    fn clients_of(&self, from: &str, servers: usize) -> Vec<Client> {
        let client = |to| {
            let client = self.network.client(from, &Cluster::<N>::name(to), Arc::new(Threads));
            self.network.enable(&client, true);
            client
        };
        (0..servers).map(client).collect()
    }
}

impl<N: Node> Drop for Beside<N> {
    fn drop(&mut self) {
        self.nodes.iter().for_each(N::kill);
    }
}
