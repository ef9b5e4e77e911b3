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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use prost::Message;

    use super::*;

    fn files_in(dir: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).unwrap();
        let entries = entries.map(|entry| entry.unwrap().path());
        let files = entries.flat_map(|path| match path.is_dir() {
            true => files_in(&path),
            false => vec![path],
        });
        files.collect()
    }

    #[test]
    fn every_file_of_the_contract_is_compiled() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
        let there = files_in(Path::new(dir)).into_iter();
        let there = there.map(|path| path.strip_prefix(dir).unwrap().display().to_string());
        let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let compiled = set.file.iter().map(|file| file.name().to_owned());
        let ours = compiled.filter(|name| !name.starts_with("google/"));
        assert_eq!(ours.collect::<BTreeSet<_>>(), there.collect());
    }
}
