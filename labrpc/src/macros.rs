//! [`service!`](crate::service!): from a list of procedures to a trait for the server and stubs for the
//! client.

/// Declares a service: a trait for those who serve it, and a client with a stub for each procedure.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Serialize, Deserialize)] pub struct Args;
/// # #[derive(Debug, Serialize, Deserialize)] pub struct Reply;
/// labrpc::service! {
///     /// What an example server can do.
///     pub service "example" {
///         trait ExampleService; client ExampleClient;
///         /// Runs on a thread of the server's node, on which it may block.
///         rpc slow(Args) -> Reply;
///         /// Returns a future, which must not block.
///         async rpc quick(Args) -> Reply;
///     }
/// }
/// ```
///
/// makes these, with the given visibility and comments:
///
/// ```text
/// pub trait ExampleService: Clone + Send + Sync + 'static {
///     fn slow(&self, args: Args) -> labrpc::Result<Reply>;
///     fn quick(&self, args: Args) -> impl Future<Output = labrpc::Result<Reply>> + Send;  // or `async fn`
///     fn into_service(self) -> labrpc::Service { .. }
/// }
///
/// #[derive(Clone, Debug)]
/// pub struct ExampleClient { .. }
/// impl ExampleClient {
///     pub fn new(client: labrpc::Client) -> Self { .. }
///     pub fn slow(&self, args: &Args) -> labrpc::RpcFuture<Reply> { .. }
///     pub fn quick(&self, args: &Args) -> labrpc::RpcFuture<Reply> { .. }
/// }
/// ```
///
/// Requests find their handler by the names of the service and the procedure.
#[macro_export]
macro_rules! service {
    (
        $(#[$meta:meta])*
        $vis:vis service $label:literal { trait $service:ident; client $client:ident; $($rpcs:tt)* }
    ) => {
        $crate::__service! { @sort [$(#[$meta])* ($vis) $label $service $client] [] $($rpcs)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __service {
    // Each procedure becomes a group of the same shape, whatever its kind.
    (@sort $head:tt [$($sorted:tt)*] $(#[$meta:meta])* rpc $name:ident($args:ty) -> $reply:ty; $($rest:tt)*) => {
        $crate::__service! {
            @sort $head [$($sorted)* { plain [$(#[$meta])*] $name ($args) ($reply) }] $($rest)*
        }
    };
    (@sort $head:tt [$($sorted:tt)*] $(#[$meta:meta])* async rpc $name:ident($args:ty) -> $reply:ty; $($rest:tt)*) => {
        $crate::__service! {
            @sort $head [$($sorted)* { asynchronous [$(#[$meta])*] $name ($args) ($reply) }] $($rest)*
        }
    };
    (
        @sort [$(#[$meta:meta])* ($vis:vis) $label:literal $service:ident $client:ident]
        [$({ $kind:ident [$(#[$doc:meta])*] $name:ident ($args:ty) ($reply:ty) })*]
    ) => {
        $(#[$meta])*
        $vis trait $service: ::core::clone::Clone + ::core::marker::Send + ::core::marker::Sync + 'static {
            $($crate::__service! { @handler $kind [$(#[$doc])*] $name ($args) ($reply) })*

            /// The service, to be added to a server.
            fn into_service(self) -> $crate::Service {
                let service = $crate::Service::new($label);
                $(let service = $crate::__service!(@add $kind service self $service $name);)*
                service
            }
        }

        #[doc = concat!("Calls the procedures of [`", stringify!($service), "`] on one server.")]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        $vis struct $client {
            client: $crate::Client,
        }

        #[allow(dead_code, reason = "who declares a service need not call all of it")]
        impl $client {
            /// Makes its calls through `client`.
            $vis fn new(client: $crate::Client) -> Self {
                Self { client }
            }

            $(
                $(#[$doc])*
                ///
                /// Sends at once; the future only waits for the reply.
                $vis fn $name(&self, args: &$args) -> $crate::RpcFuture<$reply> {
                    static METHOD: $crate::Method =
                        $crate::Method::new::<$args, $reply>($label, stringify!($name));
                    self.client.call(&METHOD, args)
                }
            )*
        }
    };

    (@handler plain [$(#[$doc:meta])*] $name:ident ($args:ty) ($reply:ty)) => {
        $(#[$doc])*
        fn $name(&self, args: $args) -> $crate::Result<$reply>;
    };
    (@handler asynchronous [$(#[$doc:meta])*] $name:ident ($args:ty) ($reply:ty)) => {
        $(#[$doc])*
        fn $name(
            &self,
            args: $args,
        ) -> impl ::core::future::Future<Output = $crate::Result<$reply>> + ::core::marker::Send;
    };

    (@add plain $builder:ident $this:ident $service:ident $name:ident) => {
        $builder.plain(stringify!($name), {
            let this = ::core::clone::Clone::clone(&$this);
            move |args| $service::$name(&this, args)
        })
    };
    (@add asynchronous $builder:ident $this:ident $service:ident $name:ident) => {
        $builder.asynchronous(stringify!($name), {
            let this = ::core::clone::Clone::clone(&$this);
            move |args| {
                let this = ::core::clone::Clone::clone(&this);
                async move { $service::$name(&this, args).await }
            }
        })
    };
}
