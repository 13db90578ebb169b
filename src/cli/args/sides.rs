//! Connection options for one side of a copy.

use std::path::PathBuf;

use clap::Args;

use super::connection::internal_host;
use super::shared::REGISTRY;

/// Connection options that override those for both sides.
#[derive(Debug, Default)]
pub(crate) struct SideOptions {
    pub(crate) plain_http: bool,
    pub(crate) insecure: bool,
    pub(crate) internal_host: Vec<url::Host<String>>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) cert_file: Option<PathBuf>,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) authfile: Option<PathBuf>,
    pub(crate) creds: Option<String>,
}

/// Declares the connection options of a side: `--src-creds` for the prefix `src`.
macro_rules! side_args {
    ($(#[$about:meta])* $name:ident, $prefix:literal, $side:literal) => {
        $(#[$about])*
        #[derive(Debug, Args)]
        #[command(next_help_heading = REGISTRY)]
        pub(crate) struct $name {
            #[arg(id = concat!($prefix, "-plain-http"), long = concat!($prefix, "-plain-http"))]
            #[arg(help = concat!("As --plain-http, for the ", $side, " only"))]
            plain_http: bool,
            #[arg(id = concat!($prefix, "-insecure"), long = concat!($prefix, "-insecure"))]
            #[arg(help = concat!("As --insecure, for the ", $side, " only"))]
            insecure: bool,
            #[arg(id = concat!($prefix, "-internal-host"), long = concat!($prefix, "-internal-host"), value_name = "HOST")]
            #[arg(help = concat!("As --internal-host, for the ", $side, " only (repeatable)"))]
            #[arg(value_parser = internal_host)]
            internal_host: Vec<url::Host<String>>,
            #[arg(id = concat!($prefix, "-ca-file"), long = concat!($prefix, "-ca-file"), value_name = "FILE")]
            #[arg(help = concat!("As --ca-file, for the ", $side, " only"))]
            ca_file: Option<PathBuf>,
            #[arg(id = concat!($prefix, "-cert-file"), long = concat!($prefix, "-cert-file"), value_name = "FILE")]
            #[arg(help = concat!("As --cert-file, for the ", $side, " only"))]
            cert_file: Option<PathBuf>,
            #[arg(id = concat!($prefix, "-key-file"), long = concat!($prefix, "-key-file"), value_name = "FILE")]
            #[arg(help = concat!("As --key-file, for the ", $side, " only"))]
            #[arg(requires = concat!($prefix, "-cert-file"))]
            key_file: Option<PathBuf>,
            #[arg(id = concat!($prefix, "-authfile"), long = concat!($prefix, "-authfile"), value_name = "FILE")]
            #[arg(help = concat!("As --authfile, for the ", $side, " only"))]
            authfile: Option<PathBuf>,
            #[arg(id = concat!($prefix, "-creds"), long = concat!($prefix, "-creds"), value_name = "USER:PASS")]
            #[arg(help = concat!("As --creds, for the ", $side, " only"))]
            #[arg(conflicts_with = concat!($prefix, "-authfile"))]
            creds: Option<String>,
        }

        impl From<$name> for SideOptions {
            fn from(args: $name) -> Self {
                Self {
                    plain_http: args.plain_http,
                    insecure: args.insecure,
                    internal_host: args.internal_host,
                    ca_file: args.ca_file,
                    cert_file: args.cert_file,
                    key_file: args.key_file,
                    authfile: args.authfile,
                    creds: args.creds,
                }
            }
        }
    };
}

side_args!(
    /// Connection options for the source.
    SourceArgs, "src", "source"
);
side_args!(
    /// Connection options for the destination.
    DestinationArgs, "dest", "destination"
);
