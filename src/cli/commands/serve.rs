//! `serve`: serves the store as a registry.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::blocking::run_cancellable;
use crate::cli::args::Serve;
use crate::cli::listen::listen;
use crate::cli::run::new_layout::open_to_write;
use crate::cli::run::transfer_run::progress;
use crate::cli::settings::{ForeignLayers, Settings, existing_layout};
use crate::cli::signals::{cancelled_by_signals, or_cancelled};
use crate::cli::size::plural;
use crate::cli::{labels, output};
use crate::control::Control;
use crate::error::{Error, ErrorDetail, ErrorKind, Result};
use crate::layout::{Layout, LayoutOptions};
use crate::retry::Timeouts;
use crate::serve::{CacheOptions, ServeOptions, Server, Upstream};

/// Maximum open files of the server.
const MAX_FILES: u64 = 4096;

/// Attempts of each request to an upstream.
const UPSTREAM_ATTEMPTS: u32 = 3;

/// Serves until a signal ends it, which is success.
pub(in crate::cli) async fn run(args: Serve, settings: &Settings) -> Result<ExitCode> {
    let cancel = cancelled_by_signals();
    let mut options = ServeOptions {
        read_only: args.read_only,
        sparse: args.sparse,
        htpasswd: args.htpasswd,
        tls: args.tls_cert.zip(args.tls_key),
        hosts: args.hosts,
        upstreams: upstreams(&args.upstreams, settings)?,
        cache: CacheOptions::default().ttl(args.ttl).stale_if_error(args.stale_if_error),
    };
    options.cache.max_size = args.max_size;
    allow_more_files();
    // A control of its own: after a signal, requests are finished, and may wait for locks meanwhile.
    let opening = Control { progress: progress(&labels::PULL, settings), ..Control::default() };
    let open = async {
        if args.read_only && options.upstreams.is_empty() {
            return open_existing(settings, &opening).await;
        }
        let private = LayoutOptions { private: true, ..LayoutOptions::default() };
        open_to_write(settings.store()?, private, &opening).await
    };
    let layout = or_cancelled(&cancel, "open", open).await??;
    let server = Server::new(layout, &options)?;
    let (listener, address) = listen(&args.addr).await?;
    print_result(&server, address, &options, settings)?;
    server.run(listener, cancel).await;
    Ok(ExitCode::SUCCESS)
}

/// Returns the registries to fetch from.
fn upstreams(typed: &[String], settings: &Settings) -> Result<Vec<Upstream>> {
    if typed.len() > 1 && settings.has_creds() {
        return Err(Error::new(ErrorKind::InvalidInput, "`--creds`")
            .with_reason("applies to one registry, but there are several upstreams")
            .with_detail(ErrorDetail::AmbiguousCredential));
    }
    let open = |text: &String| {
        // The mirrors that are configured on this machine may be this very server.
        let settings = settings.without_found_mirrors();
        let mut options = settings.registry_options("`--upstream`", ForeignLayers::Ignore)?;
        // A client does not wait for long, and may have another mirror to ask.
        options.retry.attempts.get_or_insert(UPSTREAM_ATTEMPTS);
        options.timeouts = Timeouts::default()
            .connect(Duration::from_secs(5))
            .headers(Duration::from_secs(15))
            .idle(Duration::from_secs(15));
        Upstream::new(text, options)
    };
    typed.iter().map(open).collect()
}

/// Raises the soft limit of open files: each connection is a file, and the usual limit is 1024.
fn allow_more_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let limit = maximum.map_or(MAX_FILES, |maximum| maximum.min(MAX_FILES));
    if current.is_some_and(|current| current < limit)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum })
    {
        tracing::debug!("failed to raise the limit of open files: {error}");
    }
}

/// Opens the store to read from it.
async fn open_existing(settings: &Settings, control: &Control) -> Result<Layout> {
    let path = settings.store()?;
    let location = path.display().to_string();
    let open = move |control: &Control| existing_layout(&path, control);
    let found = run_cancellable(control, "open", open).await?;
    let layout = found.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "store")
            .at(location)
            .with_reason("the store does not exist")
            .with_hint("pull an image first, or leave out `--read-only`")
    })?;
    Ok((*layout).clone())
}

fn print_result(
    server: &Server,
    address: SocketAddr,
    options: &ServeOptions,
    settings: &Settings,
) -> Result<()> {
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let (tags, unservable) = server.count()?;
    let store = settings.store()?;
    let store = store.display();
    if settings.json {
        let url = format!("{scheme}://{address}");
        output::json(&json!({ "url": url, "address": address.to_string(), "tags": tags }))?;
    } else {
        output::line(&format!(
            "serving {store} with {} on {scheme}://{address}",
            plural(tags as u64, "tag")
        ))?;
    }
    if !options.upstreams.is_empty() {
        let names: Vec<&str> = options.upstreams.iter().map(Upstream::registry).collect();
        output::note(&format!("fetches what is missing from {}", names.join(", ")));
    }
    if unservable > 0 {
        output::note(&format!(
            "{} not served: not a valid repository name",
            plural(unservable as u64, "image")
        ));
    }
    if !address.ip().is_loopback() {
        if options.htpasswd.is_none() {
            let is_read_only = options.read_only || !options.upstreams.is_empty();
            let may = if is_read_only { "read" } else { "read, write and delete" };
            output::note(&format!("anyone who can reach this address may {may}"));
            output::hint_line("restrict access with `--htpasswd FILE`");
        } else if options.tls.is_none() {
            output::note("passwords are sent unencrypted");
            output::hint_line("enable TLS with `--tls-cert` and `--tls-key`");
        }
    }
    Ok(())
}
