//! Errors of the object storage that registries redirect to: `<Error><Code>…</Code><Message>…</Message></Error>`, as S3,
//! Google Cloud Storage and Azure send it.

/// Returns code and message of such a body; `None` for any other text.
///
/// The remaining elements are not shown: they contain what was signed, and keys.
pub(super) fn code_and_message(body: &str) -> Option<String> {
    let text = body.trim_start_matches('\u{feff}').trim_start();
    let text = match text.strip_prefix("<?xml") {
        Some(declared) => declared.split_once("?>")?.1.trim_start(),
        None => text,
    };
    let content = text.strip_prefix("<Error")?;
    let content = content
        .strip_prefix('>')
        .or_else(|| Some(content.strip_prefix(' ')?.split_once('>')?.1))?;
    let parts = ["Code", "Message"].map(|name| element(content, name).unwrap_or_default());
    let shown: Vec<_> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    (!shown.is_empty()).then(|| shown.join(": "))
}

/// Returns the first line of the element's text. Azure puts ids and times on the next ones.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, from) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = from.split_once(&format!("</{name}>"))?;
    let line = text.trim().lines().next().unwrap_or_default();
    // `&amp;` last: `&amp;lt;` stands for the text `&lt;`.
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    Some(entities.iter().fold(line.to_owned(), |text, (entity, sign)| text.replace(entity, sign)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_errors_give_code_and_message_only() {
        for (body, expected) in [
            (
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code>\
                 <Message>Request has expired</Message><X-Amz-Expires>60</X-Amz-Expires></Error>",
                "AccessDenied: Request has expired",
            ),
            (
                "\u{feff}<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code><Message>Not \
                 authenticated &amp; refused.\nRequestId:1\nTime:2</Message>\
                 <AuthenticationErrorDetail>sig=abc</AuthenticationErrorDetail></Error>",
                "AuthenticationFailed: Not authenticated & refused.",
            ),
            ("<Error xmlns=\"x\"><Code>SlowDown</Code></Error>", "SlowDown"),
            ("<Error><Message>&amp;lt;&lt;</Message></Error>", "&lt;<"),
        ] {
            assert_eq!(code_and_message(body).as_deref(), Some(expected));
        }
    }

    #[test]
    fn other_bodies_are_not_storage_errors() {
        for body in [
            "",
            "<html><Error><Code>x</Code></Error>",
            "<Error",
            "<Errors><Code>x</Code></Errors>",
            "<Error><Code>x</Error>",
            "<Error><Code></Code><Message> </Message></Error>",
            "<?xml <Error><Code>x</Code></Error>",
        ] {
            assert_eq!(code_and_message(body), None, "{body}");
        }
    }
}
