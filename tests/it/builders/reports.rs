//! What a run of a builder says: a report always, and an error that carries it.

use rpull::error::Side;
use rpull::transfer::RunError;
use rpull::{CancellationToken, Copy, ErrorKind, Memory, Pull, Push, Unpack};

use super::client;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{Family, random_blob, raw};

fn can_be_spawned<T: Send + 'static>(_: T) {}

#[test]
fn builder_futures_are_send() {
    can_be_spawned(Pull::new("alpine").to("oci:images").into_future());
    can_be_spawned(Push::new("alpine").to("localhost:5000/alpine").run());
    can_be_spawned(Copy::new().image("alpine").to("localhost:5000/alpine").run());
    can_be_spawned(Unpack::new("alpine").to("root").into_future());
    can_be_spawned(Box::new(|error: RunError| -> Box<dyn std::error::Error + Send + Sync> {
        error.into()
    }));
}

#[tokio::test]
async fn run_error_shows_first_failure_and_carries_all_results() {
    let registry = FakeRegistry::start().await;
    raw(Family::Oci, random_blob(1000, 1)).publish(&registry, "app", Some("1"));
    let (app, memory) = (registry.repository("app"), Memory::default());
    let copy = Copy::new()
        .client(client())
        .image(format!("{app}:1"))
        .to(&memory)
        .to("UPPER")
        .image(format!("{app}:gone"))
        .to(&memory)
        .image("oci:/does/not/exist")
        .to(&memory)
        .image(format!("{app}:1"));
    let error = copy.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("UPPER"), "{error}");
    let report = error.into_report();
    let found: Vec<_> = report.images.iter().map(|image| image.error.as_ref()).collect();
    let kinds: Vec<_> =
        found.iter().map(|error| error.map(|error| (error.kind(), error.side()))).collect();
    let expected = [
        None,
        Some((ErrorKind::InvalidInput, Some(Side::Target))),
        Some((ErrorKind::NotFound, Some(Side::Source))),
        Some((ErrorKind::NotFound, Some(Side::Source))),
        Some((ErrorKind::InvalidInput, None)),
    ];
    assert_eq!(kinds, expected);
    assert!(memory.document(report.images[0].report.summary.manifest.as_ref().unwrap()).is_some());
}

#[tokio::test]
async fn cancelled_run_reports_every_image_as_interrupted() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let memory = Memory::default();
    let copy = Copy::new().client(client()).cancel(cancel.clone());
    let copy = copy.image("127.0.0.1:1/a").to(&memory).image("127.0.0.1:1/b").to(&memory);
    let report = copy.run().await;
    let kinds: Vec<_> =
        report.images.iter().map(|image| image.error.as_ref().map(rpull::Error::kind)).collect();
    assert_eq!(kinds, [Some(ErrorKind::Interrupted); 2]);
    let unpack = Unpack::new("127.0.0.1:1/a").client(client()).cancel(cancel).to("never");
    assert_eq!(unpack.await.unwrap_err().kind(), ErrorKind::Interrupted);
}

#[tokio::test]
async fn image_and_target_without_each_other_are_invalid() {
    let stray = Copy::new().client(client()).to("127.0.0.1:1/a").run().await;
    let lone = Pull::new("127.0.0.1:1/a").client(client()).run().await;
    for report in [stray, lone] {
        let [image] = report.images.as_slice() else { panic!("one result") };
        assert_eq!(image.error.as_ref().unwrap().kind(), ErrorKind::InvalidInput);
    }
    let unpack = Unpack::new("127.0.0.1:1/a").client(client());
    assert_eq!(unpack.await.unwrap_err().kind(), ErrorKind::InvalidInput);
}
