//! Certificates made on the spot, and servers that listen on a port of this machine, with TLS or without.

use super::Bench;
use super::server::{bare_roles, fail};
use engine::sandbox::{Options, Server};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The password of every role that comes in through the port.
pub const PASSWORD: &str = "canary-4711-password";

/// An authority with a key of its own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key.
pub struct Issued {
    /// The certificate in PEM.
    pub pem: String,
    /// The same in DER.
    pub der: rustls::pki_types::CertificateDer<'static>,
    /// Its key.
    pub key: KeyPair,
}

impl Authority {
    /// A new one; each has another key.
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Issues a certificate for `names`, host names and addresses, that is valid until the end of `year`.
    pub fn issue(&self, names: &[&str], common: &str, year: i32) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, common);
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued { pem: certificate.pem(), der: certificate.der().clone(), key }
    }

    /// Writes its certificate into `folder`; where it is.
    pub fn write(&self, folder: &Path, name: &str) -> String {
        write(folder, name, &self.pem, 0o644)
    }
}

/// Writes a file with this mode; where it is.
pub fn write(folder: &Path, name: &str, text: &str, mode: u32) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("a file of ours");
    path.to_str().expect("UTF-8").to_owned()
}

/// A server that listens on a port of 127.0.0.1 and wants a password from whoever comes in there.
pub struct TcpServer {
    server: &'static Server,
    /// The port.
    pub port: u16,
}

impl TcpServer {
    /// One with TLS: nobody comes in through the port without, and `cert_reader` needs a certificate of `clients`.
    pub fn with_tls(certificate: &Issued, clients: &Authority) -> TcpServer {
        let tcp = TcpServer::listening("hostssl all cert_reader all cert\nhostssl all all all scram-sha-256\n");
        let data = tcp.data();
        let owner = std::fs::metadata(&data).expect("the data");
        let key = certificate.key.serialize_pem();
        for (name, text, mode) in
            [("server.pem", &certificate.pem, 0o644), ("server.key", &key, 0o600), ("ca.pem", &clients.pem, 0o644)]
        {
            chown(write(&data, name, text, mode), Some(owner.uid()), Some(owner.gid())).expect("a file of the server");
        }
        tcp.set(&["ssl_cert_file = 'server.pem'", "ssl_key_file = 'server.key'", "ssl_ca_file = 'ca.pem'", "ssl = on"]);
        tcp
    }

    /// One without TLS.
    pub fn without_tls() -> TcpServer {
        let tcp = TcpServer::listening("host all all all scram-sha-256\n");
        tcp.set(&["ssl = off"]);
        tcp
    }

    /// Never dropped, like the shared one: its supervisor sees the end of this process.
    fn listening(rules: &str) -> TcpServer {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
        let settings = vec!["listen_addresses=127.0.0.1".to_owned(), format!("port={port}")];
        let options = Options { settings, ..Options::default() };
        let server = Box::leak(Box::new(Server::start(&options).unwrap_or_else(|failure| fail(&failure))));
        // Its socket is called after the port; everybody here knows it by another name.
        let name = |port: u16| server.socket().join(format!(".s.PGSQL.{port}"));
        std::os::unix::fs::symlink(name(port), name(5432)).expect("another name of the socket");
        let tcp = TcpServer { server, port };
        std::fs::write(tcp.data().join("pg_hba.conf"), format!("local all all trust\n{rules}")).expect("the rules");
        bare_roles(server);
        let mut sql = "CREATE ROLE cert_reader LOGIN BYPASSRLS IN ROLE bare_reader;".to_owned();
        let roles = ["bare_reader", "engine_stage", "engine_cloner"];
        sql.extend(roles.map(|role| format!("ALTER ROLE {role} PASSWORD '{PASSWORD}';")));
        server.psql("postgres", &sql).unwrap_or_else(|failure| fail(&failure));
        tcp
    }

    fn data(&self) -> PathBuf {
        let data = self.server.psql("postgres", "SHOW data_directory").unwrap_or_else(|failure| fail(&failure));
        PathBuf::from(data)
    }

    /// Settings, the last of which is a switch that is waited for; the rules are read again as well.
    fn set(&self, settings: &[&str]) {
        let run = |sql: &str| self.server.psql("postgres", sql).unwrap_or_else(|failure| fail(&failure));
        for setting in settings.iter().chain(&["log_connections = on"]) {
            run(&format!("ALTER SYSTEM SET {setting}"));
        }
        run("SELECT pg_reload_conf()");
        let since = Instant::now();
        while run("SHOW log_connections") != "on" {
            assert!(since.elapsed() < Duration::from_secs(60), "the server does not read its settings again");
        }
        let (name, value) = settings.last().and_then(|last| last.split_once(" = ")).expect("a switch");
        assert_eq!(
            run(&format!("SHOW {name}")),
            value,
            "{}",
            std::fs::read_to_string(self.server.log()).expect("a log")
        );
    }

    /// The server.
    pub fn server(&self) -> &'static Server {
        self.server
    }

    /// The connection string of `role` on `database` through the port; `words` as in `sslmode=require&...`.
    pub fn url(&self, role: &str, database: &str, words: &str) -> String {
        through(self.port, role, database, words)
    }

    /// A bench whose every connection string leads through the port.
    pub fn bench(&self, name: &str, words: &str) -> Bench {
        let mut bench = Bench::bare_on(self.server, self.server, name, "");
        let tables = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE INDEX ON t (v);
             INSERT INTO t SELECT n, 'v' || n FROM generate_series(1, 3000) AS n;
             CREATE TABLE u (id int PRIMARY KEY REFERENCES t); INSERT INTO u VALUES (1), (2);
             SELECT lo_from_bytea(4711, 'large'); GRANT SELECT ON LARGE OBJECT 4711 TO bare_reader";
        bench.psql(bench.production(), tables);
        let production = bench.production().to_owned();
        bench.set("SHOP_PRODUCTION_URL", &self.url("bare_reader", &production, words));
        bench.set("SHOP_CLONE_URL", &self.url("engine_stage", "postgres", words));
        bench.set("SHOP_CLONE_MAKER_URL", &self.url("engine_cloner", "postgres", words));
        bench
    }
}

/// The connection string of `role` on `database` at a port of 127.0.0.1.
pub fn through(port: u16, role: &str, database: &str, words: &str) -> String {
    format!("postgresql://{role}:{PASSWORD}@127.0.0.1:{port}/{database}?{words}")
}
