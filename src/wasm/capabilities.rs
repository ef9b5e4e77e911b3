//! What a guest is allowed beside computing: what its deployer did not grant, it is refused or does not see.

/// Each is on unless a spec says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// The environment of its spec; off, it has none.
    pub env: bool,
    /// Random bytes; off, they follow from the actor's address, the same at each start.
    pub random: bool,
    /// The time; off, all clocks stand at their beginning.
    pub clocks: bool,
    pub tuplespace: bool,
    pub spawn_actors: bool,
    /// Messages of its own accord; answering is always allowed.
    pub send_messages: bool,
    /// Lines in the application's log; off, they are dropped.
    pub logging: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            env: true,
            random: true,
            clocks: true,
            tuplespace: true,
            spawn_actors: true,
            send_messages: true,
            logging: true,
        }
    }
}
