use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;

use super::*;

const SECRET: &str = "s3cret?pass/word+>>>~";

fn knowing(secret: &str) -> Redactor {
    let redactor = Redactor::default();
    redactor.add(secret);
    redactor
}

fn hidden(secret: &str, text: &str) -> String {
    knowing(secret).redact(text, TextKind::Foreign).into_owned()
}

#[test]
fn redactor_hides_secret_in_every_encoding() {
    let percent = SECRET.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
    let json =
        SECRET.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<Vec<_>>().concat();
    let html = SECRET.chars().map(|c| format!("&#{};", u32::from(c))).collect::<Vec<_>>().concat();
    let hex = SECRET.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
    let escaped = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect::<String>();
    let twice = url::form_urlencoded::byte_serialize(escaped.as_bytes()).collect::<String>();
    let wrapped = STANDARD.encode(SECRET).replace("b3", "b\r\n3");
    for text in [
        SECRET.to_owned(),
        SECRET.to_uppercase(),
        STANDARD.encode(SECRET),
        URL_SAFE.encode(SECRET),
        wrapped,
        percent,
        json,
        html,
        hex,
        escaped,
        twice,
        SECRET.replace('/', "\\/"),
        serde_json::json!({"a": [SECRET]}).to_string(),
    ] {
        let shown = hidden(SECRET, &format!("you sent {text}"));
        assert!(shown.starts_with("you sent ") && shown.contains("***"), "{text}: {shown}");
        assert!(shown.len() < "you sent ".len() + 14, "{text}: {shown}");
    }
}

#[test]
fn redactor_hides_secret_in_base64_at_any_offset() {
    for before in ["", "a", "ab", "user:"] {
        for after in ["", "x", "xy"] {
            let text = STANDARD.encode(format!("{before}{SECRET}{after}"));
            let shown = hidden(SECRET, &text);
            // At most the characters that the secret shares with its neighbours stay.
            assert!(shown.contains("***") && shown.len() <= 20, "{before} {after}: {shown}");
        }
    }
}

#[test]
fn redactor_hides_parts_of_long_secrets() {
    let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyLW51bWJlci03In0.c2lnbmF0dXJlLW9mLWl0";
    for part in [&token[..40], &token[20..60], &token[token.len() - 32..]] {
        assert_eq!(hidden(token, &format!("bad token {part}…")), "bad token ***…", "{part}");
    }
    let (one, two) = (format!("{token}AAAA"), format!("{token}BBBB"));
    let redactor = knowing(&one);
    redactor.add(&two);
    for text in [&one, &two] {
        assert_eq!(redactor.redact(text, TextKind::Foreign), "***");
    }
}

#[test]
fn redactor_keeps_common_words() {
    let redactor = Redactor::default();
    for secret in ["abc", "pass", "password", "hunter2", "correct horse battery"] {
        redactor.add(secret);
    }
    assert_eq!(redactor.redact("abc pass", TextKind::Foreign), "abc ***");
    assert_eq!(redactor.redact("password hunter2", TextKind::Foreign), "*** ***");
    assert_eq!(redactor.redact("password hunter2", TextKind::Message), "password ***");
    assert_eq!(redactor.redact("password hunter2", TextKind::Result), "password hunter2");
    assert_eq!(redactor.redact("correct+horse+battery", TextKind::Result), "***");
    assert!(matches!(redactor.redact("nothing of it", TextKind::Foreign), Cow::Borrowed(_)));
}

#[test]
fn redactor_hides_misencoded_non_ascii_secret() {
    let secret = "pässwörtchen";
    let latin: String = secret.bytes().map(char::from).collect();
    let bytes: Vec<u8> = secret.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    for text in [secret, &latin, &String::from_utf8_lossy(&bytes)] {
        assert_eq!(hidden(secret, &format!("é {text} é")), "é *** é");
    }
}

#[test]
fn redactor_hides_url_keys_and_keeps_public_parameters() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let url = format!(
        "https://h.example/v2/t/blobs/uploads/0123456789abcdef?_state=cAnaryState&digest={digest}&a=short"
    );
    let redactor = Redactor::default();
    redactor.note_session(&Url::parse(&url).unwrap());
    let text = format!("bad cAnaryState of 0123456789abcdef, {digest}, short");
    let shown = redactor.redact(&text, TextKind::Message);
    assert_eq!(shown, format!("bad *** of ***, {digest}, short"));
    assert_eq!(redactor.redact(&text, TextKind::Result), text);
}

#[test]
fn redactor_finds_unknown_secrets_by_position() {
    for (text, shown) in [
        (
            "go to https://h/x?sig=abcdefgh&n=12345678, then",
            "go to https://h/x?sig=***&n=12345678, then",
        ),
        ("bad /v2/x?_state=abcdefgh", "bad /v2/x?_state=***"),
        ("https://user:word@h/ refused", "https://***@h/ refused"),
        ("Authorization: Bearer abcDefgh", "Authorization: Bearer ***"),
        ("\"Basic dTpwYXNz\"", "\"Basic ***\""),
        ("basic authentication wanted, see h?really", "basic authentication wanted, see h?really"),
    ] {
        assert_eq!(Redactor::default().redact(text, TextKind::Foreign), shown);
    }
}

#[test]
fn redactor_forgets_oldest_short_lived_secrets() {
    let redactor = knowing("the lasting one 1");
    let nth = |n: usize| format!("passing-secret-{n:04}-{:x}", n * 0x9e37_79b9);
    for n in 0..4 * MAX_PASSING {
        redactor.note_passing(&nth(n));
    }
    let shown = |text: &str| redactor.redact(text, TextKind::Result).into_owned();
    assert_eq!(shown("the lasting one 1"), "***");
    assert_eq!(shown(&nth(4 * MAX_PASSING - 1)), "***");
    assert!(redactor.lock().by_id.len() < 6 * MAX_PASSING);
}

proptest! {
    #[test]
    fn redactor_arbitrary_text_does_not_panic(text in "[a-zé%\\\\u{}&#;0-9?=:/@ ]{0,60}", secret in "[a-zé%&0-9 ]{0,30}") {
        let redactor = knowing(&secret);
        for kind in [TextKind::Foreign, TextKind::Message, TextKind::Result] {
            let shown = redactor.redact(&text, kind);
            prop_assert!(shown.len() <= 3 * text.len() + 3);
        }
    }

    #[test]
    fn redactor_arbitrary_secret_is_hidden(before in ".{0,20}", secret in "[ -~é]{16,40}", after in ".{0,20}") {
        let shown = hidden(&secret, &format!("{before}{secret}{after}"));
        prop_assert!(!shown.contains(&secret), "{}", shown);
    }
}
