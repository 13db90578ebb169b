//! Copies tags to two places in one run: `cargo run --example copy_many -- alpine eu.example/alpine us.example/alpine 3.19 3.20`

#![expect(clippy::print_stdout, reason = "it is a program")]

use rpull::{Copy, RunReport};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, first, second, tags @ ..] = args.as_slice() else {
        return Err("copy_many FROM TO TO TAG...".into());
    };
    let report = copy(from, [first, second], tags).await?;
    println!("{} bytes read", report.received);
    Ok(())
}

pub(crate) async fn copy(
    from: &str,
    to: [&str; 2],
    tags: &[String],
) -> Result<RunReport, Box<dyn std::error::Error>> {
    let mut copy = Copy::new();
    for tag in tags {
        copy = copy.image(format!("{from}:{tag}"));
        for target in to {
            copy = copy.to(format!("{target}:{tag}"));
        }
    }
    for image in copy.plan().await {
        let (head, bytes) = (image.report.summary, image.report.bytes);
        println!("{}: {} of {} bytes are missing", head.reference, bytes.missing, bytes.total);
    }
    Ok(copy.await?)
}
