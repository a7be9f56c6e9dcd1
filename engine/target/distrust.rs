//! Why a connection that should have been TLS is none, in plain words, and what to type next.

use super::connect::Door;
use super::tls::Mode;
use crate::event::{Exit, Failure};
use rustls::{CertificateError, Error};

/// Names of a certificate that are shown; a server says as many as it likes.
const SHOWN: usize = 5;

/// What is wrong, and what helps.
struct Found {
    why: String,
    next: Vec<String>,
    /// The word of a plan that would let it pass.
    word: Option<&'static str>,
}

/// The failure, when TLS is why `error` came; trying again would not help.
pub(super) fn failure(door: &Door, error: &tokio_postgres::Error) -> Option<Failure> {
    let found = found(door.host(), error)?;
    let what = format!("cannot reach `{}`: {}, {}", door.target, found.why, door.place);
    let mut failure = Failure::new(Exit::Io, what);
    if door.tls().mode() == Mode::Verified {
        failure = failure.fact(door.tls().trusted());
    }
    // After the handshake, role and database are on their way; a password is not.
    if error.to_string().contains("TLS handshake") {
        failure = failure.fact("neither role nor database nor password was sent");
    }
    for next in found.next {
        failure = failure.next("then", next);
    }
    if let (Some(word), true) = (found.word, door.planned) {
        let says = format!("say in [target.{}]: tls = \"{word}\", and let the evidence say so", door.target);
        failure = failure.next("or", says);
    }
    Some(failure)
}

fn found(host: &str, error: &tokio_postgres::Error) -> Option<Found> {
    let mut cause = std::error::Error::source(error);
    while let Some(this) = cause {
        if this.to_string() == "server does not support TLS" {
            return Some(Found {
                why: "its server does not speak TLS, and nothing is sent as plain text".to_owned(),
                next: vec!["set `ssl = on` at the server, with `ssl_cert_file` and `ssl_key_file`".to_owned()],
                word: Some("plain"),
            });
        }
        let of_io = this.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(tls) = of_io.and_then(|inner| inner.downcast_ref::<Error>()).or_else(|| this.downcast_ref()) {
            return Some(refused(host, tls));
        }
        cause = this.source();
    }
    None
}

fn refused(host: &str, error: &Error) -> Found {
    let one = |why: String, next: String, word| Found { why, next: vec![next], word };
    match error {
        Error::InvalidCertificate(why) => certificate(host, why),
        Error::InvalidMessage(_) => one(
            format!("what {host} answers is not TLS; somebody in between may have changed it"),
            "ask the server's own log whether it was reached at all".to_owned(),
            None,
        ),
        Error::AlertReceived(alert) => one(
            format!("its server ends the TLS handshake: {alert:?}"),
            "see the server's log; where it wants our certificate: sslcert=FILE and sslkey=FILE in the connection string"
                .to_owned(),
            None,
        ),
        other => one(format!("TLS fails: {other}"), "see the server's log".to_owned(), None),
    }
}

fn certificate(host: &str, error: &CertificateError) -> Found {
    const AUTHORITY: &str = "sslrootcert=FILE in the connection string, or export PGSSLROOTCERT=FILE: the certificate of the \
                             authority that issued it";
    let renew = "give the server a new certificate; `SHOW ssl_cert_file` there says where it is".to_owned();
    let days = |from: u64, to: u64| match to.saturating_sub(from) / 86_400 {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    let (why, next) = match error {
        CertificateError::UnknownIssuer => {
            (format!("the certificate of {host} was issued by nobody who is trusted here"), vec![AUTHORITY.to_owned()])
        }
        CertificateError::BadSignature => (
            format!(
                "the certificate of {host} was issued by nobody who is trusted here, but by a namesake with another key"
            ),
            vec![AUTHORITY.to_owned()],
        ),
        CertificateError::ExpiredContext { time, not_after } => {
            let since = days(not_after.as_secs(), time.as_secs());
            (format!("the certificate of {host} expired {since} ago"), vec![renew])
        }
        CertificateError::Expired => (format!("the certificate of {host} has expired"), vec![renew]),
        CertificateError::NotValidYetContext { time, not_before } => {
            let until = days(time.as_secs(), not_before.as_secs());
            (format!("the certificate of {host} is not valid yet, for {until} more; is this clock right?"), vec![renew])
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<String> = presented.iter().take(SHOWN).map(|name| bare(name)).collect();
            let of = if names.is_empty() {
                "for no name at all: names are read from its subjectAltName only".to_owned()
            } else {
                format!("for {}", names.join(", "))
            };
            let mut next = vec![format!("give the server a certificate with `{host}` in its subjectAltName")];
            if let Some(name) = names.first() {
                next.insert(0, format!("connect by a name that is in it, as in host={name}"));
            }
            (format!("the certificate that {host} shows is not for {host} but {of}"), next)
        }
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => (
            format!("the certificate of {host} is an authority's own (CA:TRUE), and no authority is a server"),
            vec!["let that authority issue one for the server, with CA:FALSE".to_owned()],
        ),
        other => (format!("the certificate of {host} is refused: {other}"), vec![renew]),
    };
    Found { why, next, word: Some("unverified") }
}

/// `localhost` of `DnsName("localhost")`; what a stranger wrote is shown without its control characters.
fn bare(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').escape_debug().take(80).collect()
}
