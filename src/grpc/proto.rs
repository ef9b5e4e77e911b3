//! The generated types, clients and servers of `proto/`, a module for each package.

// Written by a generator, which has a style of its own.
#[allow(clippy::all, unreachable_pub)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/plexspaces.rs"));
}

pub use generated::plexspaces::actor::v1 as actor;
pub use generated::plexspaces::application::v1 as application;
pub use generated::plexspaces::common::v1 as common;
pub use generated::plexspaces::node::v1 as node;
pub use generated::plexspaces::system::v1 as system;
pub use generated::plexspaces::tuplespace::v1 as tuplespace;
pub use generated::plexspaces::wasm::v1 as wasm;

/// Every file of `proto/` with what it imports, as reflection hands it out.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
