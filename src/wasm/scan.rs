//! A look into a module before anybody compiles it: is it well-formed, is it reasonable, how much memory does it start with.

use wasmparser::{
    BinaryReaderError, ElementItems, MemoryType, Parser, Payload, Validator, WasmFeatures,
};

use crate::limits;

/// How a module is written down, whatever it is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    Component,
    Core,
}

/// What the look found.
#[derive(Debug)]
pub struct Scan {
    pub encoding: Encoding,
    /// All memories that the module declares, as they start.
    pub memory_bytes_min: u64,
}

/// Validates `wasm` and counts what would cost more than it should. The error is the refusal's text.
pub fn scan(wasm: &[u8]) -> Result<Scan, String> {
    let mut found = Scan {
        encoding: encoding_of(wasm)?,
        memory_bytes_min: 0,
    };
    let mut functions = Tally::new("functions", limits::MODULE_FUNCTIONS_MAX);
    let mut elements = Tally::new("elements in its segments", limits::MODULE_ELEMENTS_MAX);
    let mut names = Tally::new("imports and exports", limits::MODULE_NAMES_MAX);
    let mut validator = Validator::new_with_features(features());
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|error| invalid(&error))?;
        match &payload {
            Payload::FunctionSection(section) => functions.add(section.count())?,
            Payload::CodeSectionEntry(body) if body.range().len() > limits::FUNCTION_BYTES_MAX => {
                let (bytes, max) = (body.range().len(), limits::FUNCTION_BYTES_MAX);
                return Err(format!(
                    "one function has {bytes} bytes, at most {max} are compiled; split it"
                ));
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    let memory = memory.map_err(|error| invalid(&error))?;
                    check_form(&memory)?;
                    found.memory_bytes_min =
                        found.memory_bytes_min.saturating_add(start_bytes(&memory));
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    let table = table.map_err(|error| invalid(&error))?;
                    if table.ty.initial > limits::GUEST_TABLE_ELEMENTS_MAX as u64 {
                        let (elements, max) = (table.ty.initial, limits::GUEST_TABLE_ELEMENTS_MAX);
                        return Err(format!(
                            "a table starts with {elements} elements, at most {max} are given"
                        ));
                    }
                }
            }
            Payload::ElementSection(section) => {
                for element in section.clone() {
                    elements.add(match element.map_err(|error| invalid(&error))?.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    })?;
                }
            }
            Payload::ImportSection(section) => names.add(section.count())?,
            Payload::ExportSection(section) => names.add(section.count())?,
            Payload::ComponentImportSection(section) => names.add(section.count())?,
            Payload::ComponentExportSection(section) => names.add(section.count())?,
            _ => {}
        }
        validator
            .payload(&payload)
            .map_err(|error| invalid(&error))?;
    }
    Ok(found)
}

/// A count over all sections of a module, and over all modules of a component.
struct Tally {
    what: &'static str,
    count: u32,
    max: u32,
}

impl Tally {
    fn new(what: &'static str, max: u32) -> Self {
        Self {
            what,
            count: 0,
            max,
        }
    }

    fn add(&mut self, more: u32) -> Result<(), String> {
        self.count = self.count.saturating_add(more);
        if self.count > self.max {
            return Err(format!(
                "more than {} {}; split the module",
                self.max, self.what
            ));
        }
        Ok(())
    }
}

fn invalid(error: &BinaryReaderError) -> String {
    format!(
        "not a valid module: {error}; build it again, or send it again if it was damaged on the way"
    )
}

/// Bytes 4 to 8 tell a core module from a component.
pub fn encoding_of(wasm: &[u8]) -> Result<Encoding, String> {
    match wasm {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Ok(Encoding::Core),
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(Encoding::Component),
        [0, b'a', b's', b'm', ..] => {
            Err("of an unknown WebAssembly version; build a core module or a component".into())
        }
        _ => Err(
            "not WebAssembly: its first bytes are not \\0asm; send the compiled .wasm file".into(),
        ),
    }
}

/// Guests have one thread each, and pointers of 32 bits.
fn check_form(memory: &MemoryType) -> Result<(), String> {
    if memory.memory64 {
        return Err(
            "a memory has 64-bit addresses, and this node runs 32-bit guests; build for wasm32"
                .into(),
        );
    }
    if memory.shared {
        return Err(
            "a memory is shared, and guests have no threads here; build without threads".into(),
        );
    }
    Ok(())
}

fn start_bytes(memory: &MemoryType) -> u64 {
    let page_bytes = 1_u64 << memory.page_size_log2.unwrap_or(16);
    memory.initial.saturating_mul(page_bytes)
}

/// Everything the parser knows: what this node's engine does not run, its compiler refuses by name.
fn features() -> WasmFeatures {
    WasmFeatures::all()
}
