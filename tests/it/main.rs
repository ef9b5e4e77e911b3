//! The node at its doors: one file per feature, each test with a node of its own.

mod guests;
mod harness;

mod actors;
mod applications;
mod capabilities;
mod commands;
mod compiling;
mod connections;
mod crash;
mod dashboard;
mod doors;
mod examples;
mod floods;
mod forms;
mod guest_limits;
mod logs;
mod messaging;
mod metrics;
mod odd_forms;
mod pool;
mod preview1;
mod process;
mod refusals;
mod restore;
mod routing;
mod service;
mod tidy;
mod tokens;
mod uploads;
mod waiting;
