//! The HTTP door: one flat route table (`router.rs`), and one file per subject.
//!
//! A request passes the gate's server → router, which asks the gate's guard → its handler, which makes one call inward
//! and renders the answer.

mod api;
mod applications;
mod backup;
mod blobs;
mod dashboard;
mod deploy;
mod figures;
mod gathered;
mod health;
mod invoke;
mod logs;
mod members;
mod metrics;
mod multipart;
mod paging;
mod query;
mod range;
mod reply;
mod router;
mod routes;
pub mod spec;
mod tree;
mod tuplespace;
mod workflows;

use crate::gate::Door;

pub use router::{beside_grpc, gateway};
