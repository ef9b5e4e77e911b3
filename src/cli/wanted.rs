//! Which application a command is about: its name, or its id, for which a list of the node gives the name.

use anyhow::{anyhow, bail};

use super::Usage;
use super::client::Client;
use super::named::Named;
use super::shapes::Applications;

#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    Name(String),
    Id(String),
}

impl Wanted {
    /// Of what the user gave exactly one thing is there.
    pub fn of(
        positional: &Option<Named>,
        name: &Option<Named>,
        id: &Option<Named>,
    ) -> anyhow::Result<Self> {
        match (positional, name, id) {
            (Some(name), None, None) | (None, Some(name), None) => Ok(Self::Name(name.to_string())),
            (None, None, Some(id)) => Ok(Self::Id(id.to_string())),
            (None, None, None) => Err(Usage::new(
                "which application? Give its name, or --app-id; plexspaces list shows both",
            )),
            _ => Err(Usage::new("give one of NAME, --name and --app-id")),
        }
    }

    /// The name of the application; an id is looked up on the node.
    pub async fn name(self, client: &Client) -> anyhow::Result<String> {
        let id = match self {
            Self::Name(name) => return Ok(name),
            Self::Id(id) => id,
        };
        let listed: Applications = client.get_as("/api/v1/applications").await?;
        let all = listed.applications.into_iter();
        let mut named: Vec<String> = all
            .filter(|it| it.application_id == id)
            .map(|it| it.name)
            .collect();
        let name = named.pop().ok_or_else(|| {
            anyhow!("no application has the id {id:?}; plexspaces list shows those deployed")
        })?;
        if let Some(other) = named.pop() {
            bail!("{other} and {name} both have the id {id:?}; give --name");
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_of_naming_is_enough_and_two_are_too_many() {
        let some = || "x".parse::<Named>().ok();
        let check = |given: [Option<Named>; 3], expected: Option<Wanted>| {
            let [positional, name, id] = &given;
            assert_eq!(Wanted::of(positional, name, id).ok(), expected, "{given:?}");
        };
        check([some(), None, None], Some(Wanted::Name("x".into())));
        check([None, some(), None], Some(Wanted::Name("x".into())));
        check([None, None, some()], Some(Wanted::Id("x".into())));
        check([None, None, None], None);
        check([some(), some(), None], None);
        check([None, some(), some()], None);
    }
}
