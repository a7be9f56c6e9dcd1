//! TLS: whether a door speaks it, what it demands of a certificate, and the same for children such as `pg_dump`.
//!
//! Decided once, from the plan, the connection string and the place it leads to; there is no way back to plain text.

use super::asked::{Asked, SslMode};
use crate::event::{Exit, Failure};
use crate::plan::Tls as Word;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, OnceLock};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A path below a device: nothing can be there, so that libpq does not take its default file in HOME.
const NOTHING: &str = "/dev/null/none";

/// Where a connection string leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// A local socket, over which PostgreSQL speaks no TLS.
    Socket,
    /// This machine.
    Loopback,
    /// Anywhere else.
    Network,
}

/// How one door does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// No TLS.
    Off,
    /// Encrypted, with whom nobody checks.
    Unverified,
    /// The certificate and the name in it are checked.
    Verified,
}

/// Who may issue certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Authorities {
    System,
    /// A file, and who names it.
    File(String, &'static str),
}

/// The TLS of a door.
#[derive(Clone)]
pub(super) struct Tls {
    mode: Mode,
    authorities: Authorities,
    trusted: usize,
    /// Files of our own certificate and its key.
    own: Option<(String, String)>,
    connector: Option<MakeRustlsConnect>,
}

/// Why there is no door: the rest of a sentence that begins with "the connection string", and what to type next.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) why: String,
    pub(super) next: Vec<(&'static str, String)>,
}

impl From<String> for Refusal {
    fn from(why: String) -> Refusal {
        Refusal { why, next: Vec::new() }
    }
}

/// What is to be done: the plan's word holds, and a connection string can only ask for more.
fn decide(word: Option<Word>, asked: &Asked, reach: Reach) -> Result<Mode, Refusal> {
    if reach == Reach::Socket {
        return Ok(Mode::Off);
    }
    let by_plan = match (word, reach) {
        (Some(Word::VerifyFull), _) | (None, Reach::Network) => Mode::Verified,
        (Some(Word::Unverified), _) => Mode::Unverified,
        (Some(Word::Plain) | None, _) => Mode::Off,
    };
    match asked.mode {
        Some(SslMode::Disable) if by_plan != Mode::Off => {
            let why = match word {
                Some(word) => format!("says sslmode=disable, and the plan says tls = \"{}\"", word.text()),
                None => "says sslmode=disable and leads over a network, where a connection string cannot turn TLS off"
                    .to_owned(),
            };
            Err(Refusal { why, next: vec![("then", "take sslmode=disable off the connection string".to_owned())] })
        }
        Some(SslMode::Verify) => Ok(Mode::Verified),
        // Encrypted with nobody knows whom is what only a plan can ask for.
        Some(SslMode::Require) if by_plan == Mode::Off => Ok(Mode::Verified),
        _ => Ok(by_plan),
    }
}

impl Tls {
    /// Decides, and reads what files it takes.
    pub(super) fn new(word: Option<Word>, asked: &Asked, reach: Reach) -> Result<Tls, Refusal> {
        let mode = decide(word, asked, reach)?;
        let authorities = Authorities::named(asked.sslrootcert.as_deref());
        if mode == Mode::Off {
            return Ok(Tls { mode, authorities, trusted: 0, own: None, connector: None });
        }
        let own = match (&asked.sslcert, &asked.sslkey) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            _ => return Err("names one of `sslcert` and `sslkey`: write both or none".to_owned().into()),
        };
        Tls::speaking(mode, authorities, own)
    }

    /// The same way there, with the certificate that another one shows.
    pub(super) fn with_own(&self, other: &Tls) -> Result<Tls, Refusal> {
        if self.mode == Mode::Off || self.own == other.own {
            return Ok(self.clone());
        }
        Tls::speaking(self.mode, self.authorities.clone(), other.own.clone())
    }

    fn speaking(mode: Mode, authorities: Authorities, own: Option<(String, String)>) -> Result<Tls, Refusal> {
        let mut tls = Tls { mode, authorities, trusted: 0, own, connector: None };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("finds no TLS: {e}"))?;
        let builder = if mode == Mode::Verified {
            let roots = tls.authorities.read()?;
            tls.trusted = roots.len();
            builder.with_root_certificates(roots)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        };
        let config = match &tls.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, secret) = shown(certificate, key)?;
                let unfit = |e| format!("names an `sslcert` and an `sslkey` that do not fit: {e}");
                builder.with_client_auth_cert(chain, secret).map_err(unfit)?
            }
        };
        tls.connector = Some(MakeRustlsConnect::new(config));
        Ok(tls)
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn connector(&self) -> Option<&MakeRustlsConnect> {
        self.connector.as_ref()
    }

    /// Who is trusted, for a failure.
    pub(super) fn trusted(&self) -> String {
        let count = if self.trusted == 1 { "1 authority".to_owned() } else { format!("{} authorities", self.trusted) };
        match &self.authorities {
            Authorities::System => format!("trusted: {count} of this system"),
            Authorities::File(path, from) => format!("trusted: {count} in {path} ({from})"),
        }
    }

    /// Variables that make libpq of `major` do the same.
    ///
    /// # Errors
    /// libpq before 16 does not know the system's authorities.
    pub(super) fn environment(&self, major: u32) -> Result<Vec<(&'static str, String)>, Failure> {
        let authorities = match (&self.authorities, self.mode) {
            (_, Mode::Off | Mode::Unverified) => NOTHING.to_owned(),
            (Authorities::File(path, _), Mode::Verified) => path.clone(),
            (Authorities::System, Mode::Verified) if major >= 16 => "system".to_owned(),
            (Authorities::System, Mode::Verified) => {
                let what = format!("pg_dump {major} cannot check a certificate against the authorities of this system");
                return Err(Failure::new(Exit::Io, what)
                    .next("then", "export PGSSLROOTCERT=FILE   the authorities in one file, often /etc/ssl/certs/ca-certificates.crt")
                    .next("or", "export ENGINE_PG_BIN=FOLDER   with the programs of PostgreSQL 16 or newer"));
            }
        };
        let mode = match self.mode {
            Mode::Off => "disable",
            Mode::Unverified => "require",
            Mode::Verified => "verify-full",
        };
        let (certificate, key) = self.own.clone().unwrap_or_else(|| (NOTHING.to_owned(), NOTHING.to_owned()));
        let all = [
            ("PGSSLMODE", mode.to_owned()),
            ("PGSSLROOTCERT", authorities),
            ("PGSSLCERT", certificate),
            ("PGSSLKEY", key),
            ("PGSSLCRL", NOTHING.to_owned()),
            ("PGSSLCRLDIR", NOTHING.to_owned()),
            // Else a ticket of Kerberos would go before TLS.
            ("PGGSSENCMODE", "disable".to_owned()),
        ];
        Ok(all.into())
    }
}

impl Authorities {
    /// The connection string's, then `PGSSLROOTCERT`'s, then the system's.
    fn named(sslrootcert: Option<&str>) -> Authorities {
        let variable = std::env::var("PGSSLROOTCERT").ok().filter(|path| !path.is_empty());
        let named = match (sslrootcert, variable) {
            (Some(path), _) => Some((path.to_owned(), "sslrootcert")),
            (None, variable) => variable.map(|path| (path, "PGSSLROOTCERT")),
        };
        match named {
            Some((path, from)) if path != "system" => Authorities::File(path, from),
            _ => Authorities::System,
        }
    }

    fn read(&self) -> Result<Arc<RootCertStore>, Refusal> {
        static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
        let Authorities::File(path, from) = self else {
            return Ok(Arc::clone(SYSTEM.get_or_init(|| {
                let mut roots = RootCertStore::empty();
                // One broken certificate of the system's store does not make the others unusable.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                Arc::new(roots)
            })));
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path, from)? {
            let bad = |e| format!("needs {from}, and {path} holds a certificate that is none: {e}");
            roots.add(certificate).map_err(bad)?;
        }
        Ok(Arc::new(roots))
    }
}

fn certificates(path: &str, from: &str) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let refuse = |why: String| Refusal::from(format!("needs {from}, and {path} {why}"));
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|e| refuse(reason(&e)))?;
    if found.is_empty() { Err(refuse("holds no certificate in PEM".to_owned())) } else { Ok(found) }
}

/// What is wrong with a PEM file, without a byte of what is in it.
fn reason(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => format!("cannot be read: {error}"),
        rustls::pki_types::pem::Error::NoItemsFound => "holds nothing in PEM that can be used".to_owned(),
        _ => "is no PEM file: its sections are broken".to_owned(),
    }
}

/// Our certificate with its chain, and its key, which nobody else may read.
fn shown(certificate: &str, key: &str) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Refusal> {
    let chain = certificates(certificate, "sslcert")?;
    let refuse = |why: String| Refusal::from(format!("needs sslkey, and {key} {why}"));
    let meta = std::fs::metadata(key).map_err(|e| refuse(format!("cannot be read: {e}")))?;
    // As libpq has it: the group may read root's.
    let open = meta.mode() & if meta.uid() == 0 { 0o027 } else { 0o077 };
    if open != 0 {
        let mode = meta.mode() & 0o777;
        let why = format!("needs sslkey, and the mode of {key} is {mode:04o}: others may read it");
        return Err(Refusal { why, next: vec![("then", format!("chmod 0600 {key}"))] });
    }
    let secret = PrivateKeyDer::from_pem_file(key);
    Ok((chain, secret.map_err(|e| refuse(format!("{}; a key must be there without a password", reason(&e))))?))
}

/// Takes any certificate; whoever shows it must still hold its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [Option<Word>; 4] = [None, Some(Word::VerifyFull), Some(Word::Unverified), Some(Word::Plain)];

    fn mode(word: Option<Word>, sslmode: Option<SslMode>, reach: Reach) -> Option<Mode> {
        decide(word, &Asked { mode: sslmode, ..Asked::default() }, reach).ok()
    }

    #[test]
    fn without_a_word_a_network_is_verified_and_this_machine_is_plain() {
        assert_eq!(mode(None, None, Reach::Network), Some(Mode::Verified));
        assert_eq!(mode(None, None, Reach::Loopback), Some(Mode::Off));
        assert_eq!(mode(Some(Word::VerifyFull), None, Reach::Loopback), Some(Mode::Verified));
        assert_eq!(mode(Some(Word::Unverified), None, Reach::Network), Some(Mode::Unverified));
        assert_eq!(mode(Some(Word::Plain), None, Reach::Network), Some(Mode::Off));
        assert_eq!(mode(Some(Word::VerifyFull), Some(SslMode::Verify), Reach::Socket), Some(Mode::Off));
    }

    /// Every combination: a connection string is refused, ignored, or makes it stricter.
    #[test]
    fn a_connection_string_never_weakens_what_the_plan_says() {
        let strength = |mode: Mode| [Mode::Off, Mode::Unverified, Mode::Verified].iter().position(|m| *m == mode);
        let modes = [SslMode::Disable, SslMode::Whatever, SslMode::Require, SslMode::Verify];
        for (word, reach) in WORDS.into_iter().flat_map(|w| [(w, Reach::Loopback), (w, Reach::Network)]) {
            let alone = mode(word, None, reach).expect("no string, no refusal");
            for asked in modes {
                if let Some(found) = mode(word, Some(asked), reach) {
                    assert!(strength(found) >= strength(alone), "{word:?} {asked:?} {reach:?}: {found:?}");
                } else {
                    assert!(asked == SslMode::Disable && alone != Mode::Off, "{word:?} {asked:?} {reach:?}");
                }
            }
            let required = mode(word, Some(SslMode::Require), reach);
            let unverified = word == Some(Word::Unverified);
            assert_eq!(required, Some(if unverified { Mode::Unverified } else { Mode::Verified }), "{word:?}");
            assert_eq!(mode(word, Some(SslMode::Verify), reach), Some(Mode::Verified));
        }
    }
}
