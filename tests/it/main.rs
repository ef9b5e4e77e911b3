//! The node at its doors: one file per feature, each test with a node of its own.

mod guests;
mod harness;

mod actors;
mod applications;
mod backup;
mod commands;
mod compiling;
mod connections;
mod crash;
mod dashboard;
mod doors;
mod examples;
mod floods;
mod forms;
mod full_disk;
mod fuzz;
mod guest_limits;
mod lies;
mod logs;
mod messaging;
mod metrics;
mod odd_forms;
mod preview1;
mod process;
mod refusals;
mod restore;
mod routing;
mod service;
mod slots;
mod small_devices;
mod storms;
mod tidy;
mod tokens;
mod uploads;
mod waiting;
