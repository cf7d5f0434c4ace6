//! [`Server`]: a name with services, before it is added to a network; [`Callee`], after that.

use std::sync::Arc;

use crate::message::Method;
use crate::pool::{Pool, Spawn};
use crate::service::{Handler, Service};

/// A server to be [added](crate::Network::add_server) to a network.
pub struct Server {
    pub(crate) name: String,
    pub(crate) on: Arc<dyn Spawn>,
    pub(crate) services: Vec<Service>,
}

impl Server {
    /// A server without services, whose handlers will run on threads of `on`.
    pub fn new(name: &str, on: Arc<dyn Spawn>) -> Self {
        Server { name: name.to_owned(), on, services: Vec::new() }
    }

    /// Adds a service, in place of the one of the same name if there is one.
    pub fn add(&mut self, service: Service) {
        self.services.retain(|earlier| earlier.name != service.name);
        self.services.push(service);
    }
}

/// A server as the network knows it. Its identity is the `Arc` it is kept in: a restarted server is another
/// one.
pub(crate) struct Callee {
    services: Vec<Service>,
    pub(crate) pool: Arc<Pool>,
}

impl Callee {
    pub(crate) fn new(services: Vec<Service>, pool: Arc<Pool>) -> Self {
        pool.attach();
        Callee { services, pool }
    }

    pub(crate) fn handler(&self, method: &Method) -> Option<&Handler> {
        let service = self.services.iter().find(|service| service.name == method.service)?;
        service.handlers.get(method.method)
    }
}
