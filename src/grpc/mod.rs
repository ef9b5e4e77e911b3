//! The gRPC door: the wire contract of `proto/`, as types, clients and servers.

pub mod proto;
