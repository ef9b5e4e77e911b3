//! The PlexSpaces edge node, floor by floor: a room uses the rooms above it in this list, never those below.

// floor 0: words
pub mod allowance;
pub mod audit;
pub mod auth;
pub mod budget;
pub mod clock;
pub mod config;
pub mod id;
pub mod limits;
pub mod loop_lag;
pub mod machine;
pub mod maps;
pub mod message;
pub mod metrics;
pub mod near;
pub mod payload;
pub mod place;
pub mod refusal;
pub mod retry;
pub mod serde_words;
pub mod service;
pub mod shutdown;
pub mod strict;
pub mod toml_text;
pub mod unseen;

// floor 1: what survives
pub mod storage;

// floor 2: how actors live, and where they meet (neither room uses the other)
pub mod actor;
pub mod coordination;

// floor 3: what actors may ask of the node
pub mod services;

// floor 4: what actors are made of
pub mod wasm;

// floor 5: what operators deploy
pub mod application;

// floor 6: where the doors are
pub mod gate;

// floor 7: doors
pub mod grpc;
pub mod http;

// floor 8: the wiring
pub mod node;

// floor 9: the command line
pub mod cli;
