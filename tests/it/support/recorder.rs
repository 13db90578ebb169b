//! A proxy that records requests with headers: the log of the real registry has no `Range`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use reqwest::redirect::Policy;

use super::http::{Fault, Reply, Request, Server};

/// Forwards everything to the HTTP server at `upstream` (`host:port`); `Host` keeps the proxy's own host.
pub(crate) async fn in_front_of(upstream: &str) -> Server {
    let upstream = format!("http://{upstream}");
    let builder = reqwest::Client::builder().no_proxy().redirect(Policy::none());
    let client = builder.build().unwrap();
    let pass_on = move |request: Request| -> BoxFuture<'static, Reply> {
        Box::pin(pass(client.clone(), format!("{upstream}{}", request.target()), request))
    };
    Server::start_async(None, Arc::new(pass_on)).await
}

/// Forwards as [`in_front_of`], except for request `number`, from 0, of this method: it gets no response.
pub(crate) async fn silent_at(upstream: &str, method: &'static str, number: usize) -> Server {
    let upstream = format!("http://{upstream}");
    let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    let seen = AtomicUsize::new(0);
    let pass_on = move |request: Request| -> BoxFuture<'static, Reply> {
        let one_more = usize::from(request.method == method);
        if seen.fetch_add(one_more, Ordering::Relaxed) == number && one_more == 1 {
            return Box::pin(async { Reply::new(200, "").fault(Fault::Silence) });
        }
        Box::pin(pass(client.clone(), format!("{upstream}{}", request.target()), request))
    };
    Server::start_async(None, Arc::new(pass_on)).await
}

/// Forwards as [`in_front_of`] for authenticated users, but redirects uploads of bytes to the upstream server.
pub(crate) async fn sends_bytes_on(upstream: &str, status: u16) -> Server {
    let upstream = format!("http://{upstream}");
    let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    let pass_on = move |request: Request| -> BoxFuture<'static, Reply> {
        let url = format!("{upstream}{}", request.target());
        if request.header("authorization").is_none() {
            let challenge = Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\"");
            return Box::pin(async { challenge });
        }
        if request.path.contains("/blobs/uploads/")
            && request.method.starts_with('P')
            && request.method != "POST"
        {
            return Box::pin(async move { Reply::new(status, "").header("Location", url) });
        }
        Box::pin(pass(client.clone(), url, request))
    };
    Server::start_async(None, Arc::new(pass_on)).await
}

async fn pass(client: reqwest::Client, url: String, request: Request) -> Reply {
    let method = reqwest::Method::from_bytes(request.method.as_bytes()).unwrap();
    let mut builder = client.request(method, url).body(request.body);
    for (name, value) in &request.headers {
        if !name.eq_ignore_ascii_case("connection") {
            builder = builder.header(name, value);
        }
    }
    let answer = builder.send().await.unwrap();
    let mut reply = Reply::new(answer.status().as_u16(), "");
    for (name, value) in answer.headers() {
        reply = reply.header(name.as_str(), value.to_str().unwrap());
    }
    let lengths: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| name == "content-length")
        .map(|(_, value)| value.clone())
        .collect();
    reply = reply.without("content-length").without("transfer-encoding").without("connection");
    if request.method == "HEAD" {
        // A response to HEAD has no body to take the length from.
        return reply.fault(Fault::ContentLength(lengths));
    }
    reply.body = answer.bytes().await.unwrap();
    reply
}
