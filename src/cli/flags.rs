//! The flags that commands share: how to find a node and prove who one is, how to print, and which application is meant.

/// A command to a node: the struct with flags for the node, the token and the form of output, and `client` to use them.
macro_rules! node_command {
    ($(#[$about:meta])* pub struct $name:ident { $($own:tt)* }) => {
        #[derive(argh::FromArgs, argh::ArgsInfo)]
        $(#[$about])*
        pub struct $name {
            $($own)*
            /// gRPC address of the node; HTTP is on the next port (default: localhost:8000; env PLEXSPACES_NODE)
            #[argh(option, arg_name = "host:port")]
            node: Option<$crate::cli::address::NodeAddr>,
            /// the token that a node on another machine asks for (env PLEXSPACES_TOKEN)
            #[argh(option)]
            token: Option<String>,
            /// a file that holds the token (env PLEXSPACES_TOKEN_FILE)
            #[argh(option, arg_name = "file")]
            token_file: Option<std::path::PathBuf>,
            /// text or json (default: text)
            #[argh(option, arg_name = "form", default = "crate::cli::output::Output::Text")]
            output: $crate::cli::output::Output,
        }

        impl $name {
            fn client(&self) -> anyhow::Result<$crate::cli::client::Client> {
                let given = $crate::cli::token_flag::Given {
                    token: self.token.clone(),
                    file: self.token_file.clone(),
                };
                $crate::cli::client::Client::new(self.node.clone(), given)
            }
        }
    };
}

/// A command to one application of a node, told by its name or its id.
macro_rules! application_command {
    ($(#[$about:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $crate::cli::flags::node_command! {
            $(#[$about])*
            pub struct $name {
                /// the application's name
                #[argh(positional, arg_name = "name")]
                application: Option<$crate::cli::named::Named>,
                /// the same as a flag
                #[argh(option)]
                name: Option<$crate::cli::named::Named>,
                /// the application's id, where the name is not known
                #[argh(option, arg_name = "id")]
                app_id: Option<$crate::cli::named::Named>,
                $($own)*
            }
        }

        impl $name {
            fn wanted(&self) -> anyhow::Result<$crate::cli::wanted::Wanted> {
                $crate::cli::wanted::Wanted::of(&self.application, &self.name, &self.app_id)
            }
        }
    };
}

pub(super) use {application_command, node_command};
