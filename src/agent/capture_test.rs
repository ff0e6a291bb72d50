//! The binary's capture rules in network namespaces of our own, tried out with real connections.
//! Needs root, `ip` and iptables (on the path, or in the folder that the variable IPTABLES names); where one is
//! missing nothing here runs, and that is said.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::unistd::{Uid, geteuid, setfsuid};

const CASES: usize = 3;
/// What the default template gives its init container.
const INJECTED: [&str; 15] = [
    "istio-iptables",
    "-p",
    "15001",
    "-z",
    "15006",
    "-u",
    "1337",
    "-m",
    "REDIRECT",
    "-i",
    "*",
    "-b",
    "*",
    "-d",
    "15090,15021,15020",
];
const POD: Ipv4Addr = Ipv4Addr::new(10, 244, 7, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 244, 7, 2);
/// An address that nobody has: a service's.
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const APPLICATION: u32 = 1000;
const PROXY: u32 = 1337;

/// A pod and another host on the same wire.
struct Wire {
    pod: String,
    other: String,
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn ip(line: &str) {
    let arguments: Vec<&str> = line.split(' ').collect();
    let output = run("ip", &arguments);
    assert!(
        output.status.success(),
        "ip {line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Wire {
    /// `None` where namespaces or iptables are not to be had.
    fn new(name: &str) -> Option<Wire> {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
        folders.extend(iptables());
        let there = |program: &str| folders.iter().any(|folder| folder.join(program).exists());
        if !geteuid().is_root() || !there("ip") || !there("iptables-restore") {
            eprintln!("NOT RUN: one of {CASES} cases of capture, without root, ip or iptables");
            return None;
        }
        let wire = Wire {
            pod: format!("capture-{name}-{}", std::process::id()),
            other: format!("capture-{name}-{}-other", std::process::id()),
        };
        let Wire { pod, other } = &wire;
        ip(&format!("netns add {pod}"));
        ip(&format!("netns add {other}"));
        ip(&format!(
            "-n {pod} link add eth0 type veth peer name eth0 netns {other}"
        ));
        for (namespace, address) in [(pod, POD), (other, OTHER)] {
            ip(&format!("-n {namespace} address add {address}/24 dev eth0"));
            ip(&format!("-n {namespace} link set lo up"));
            ip(&format!("-n {namespace} link set eth0 up"));
        }
        ip(&format!("-n {pod} route add default via {OTHER}"));
        Some(wire)
    }

    /// Runs a program in the pod.
    fn execute(&self, program: &str, arguments: &[&str]) -> Output {
        let mut all = vec!["netns", "exec", &self.pod, program];
        all.extend_from_slice(arguments);
        let mut command = Command::new("ip");
        command.args(all);
        if let Some(folder) = iptables() {
            let old = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{old}", folder.display()));
            let libraries = folder
                .join("../lib")
                .join(format!("{}-linux-gnu", std::env::consts::ARCH));
            command.env("XTABLES_LIBDIR", libraries.join("xtables"));
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command.output().expect("it runs")
    }

    fn capture(&self, more: &[&str]) -> Output {
        let arguments: Vec<&str> = INJECTED.iter().chain(more).copied().collect();
        self.execute(env!("CARGO_BIN_EXE_pilot-agent"), &arguments)
    }

    fn captures(&self) {
        let output = self.capture(&["-x", "", "--log_output_level=default:debug"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn rules(&self) -> String {
        let output = self.execute("iptables-save", &[]);
        let text = String::from_utf8_lossy(&output.stdout);
        let rules = text
            .lines()
            .filter(|line| line.starts_with(['-', ':', '*']));
        // The kernel's own chains have counters.
        rules
            .map(|line| line.split(" [").next().unwrap_or(line).to_owned() + "\n")
            .collect()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for namespace in [&self.pod, &self.other] {
            run("ip", &["netns", "delete", namespace]);
        }
    }
}

fn iptables() -> Option<PathBuf> {
    std::env::var_os("IPTABLES").map(PathBuf::from)
}

/// Does something in a namespace, as a user.
fn inside<T: Send>(namespace: &str, user: u32, what: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let file = std::fs::File::open(Path::new("/run/netns").join(namespace)).expect("there");
            setns(file, CloneFlags::CLONE_NEWNET).expect("root may");
            // The kernel compares this identity with the owner in a rule; the thread ends with it.
            setfsuid(Uid::from_raw(user));
            what()
        });
        thread.join().expect("no panic")
    })
}

/// A server that says on which port it was reached, for as long as the test runs.
fn server(namespace: &str, port: u16) {
    let listener = inside(namespace, 0, || {
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("a free port")
    });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let peer = stream.peer_addr().expect("connected").ip();
            let _ = write!(stream, "{port} {peer}");
        }
    });
}

/// Where a connection ends: the port of the server that answers.
fn reached(namespace: &str, user: u32, address: impl Into<IpAddr>, port: u16) -> Option<u16> {
    let address = SocketAddr::new(address.into(), port);
    inside(namespace, user, || {
        let mut stream = match TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return None,
            stream => stream.expect("an answer"),
        };
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("a text");
        text.split(' ').next()?.parse().ok()
    })
}

#[test]
fn traffic_goes_where_upstreams_rules_send_it() {
    let Some(wire) = Wire::new("traffic") else {
        return;
    };
    wire.captures();
    for port in [15001, 15006, 15008, 15020, 8080] {
        server(&wire.pod, port);
    }
    server(&wire.other, 80);
    let from_pod = |user, address: Ipv4Addr, port| reached(&wire.pod, user, address, port);
    // The application's calls go to Envoy, whatever the address.
    assert_eq!(from_pod(APPLICATION, SERVICE, 80), Some(15001));
    assert_eq!(from_pod(APPLICATION, OTHER, 80), Some(15001));
    assert_eq!(from_pod(0, OTHER, 80), Some(15001));
    // Envoy's do not.
    assert_eq!(from_pod(PROXY, OTHER, 80), Some(80));
    assert_eq!(from_pod(PROXY, OTHER, 81), None);
    // What the application says to itself stays with it.
    assert_eq!(from_pod(APPLICATION, Ipv4Addr::LOCALHOST, 8080), Some(8080));
    assert_eq!(from_pod(APPLICATION, POD, 8080), Some(8080));
    // Envoy to the pod itself enters like anybody else, but not by localhost.
    assert_eq!(from_pod(PROXY, POD, 8080), Some(15006));
    assert_eq!(from_pod(PROXY, Ipv4Addr::LOCALHOST, 8080), Some(8080));
    // From outside everything goes to Envoy, but for the proxy's own ports and HBONE's.
    let from_other = |port| reached(&wire.other, 0, POD, port);
    assert_eq!(from_other(8080), Some(15006));
    assert_eq!(from_other(9999), Some(15006));
    assert_eq!(from_other(15020), Some(15020));
    assert_eq!(from_other(15008), Some(15008));
    assert_eq!(from_other(15021), None);
}

#[test]
fn doing_it_again_changes_nothing_and_cleaning_up_leaves_the_rules_of_others() {
    let Some(wire) = Wire::new("again") else {
        return;
    };
    let foreign = [
        "-t",
        "nat",
        "-A",
        "OUTPUT",
        "-d",
        "10.9.9.9/32",
        "-j",
        "RETURN",
    ];
    assert!(wire.execute("iptables", &foreign).status.success());
    let before = wire.rules();
    wire.captures();
    let captured = wire.rules();
    assert_eq!(
        captured.matches("-A OUTPUT -j ISTIO_OUTPUT").count(),
        1,
        "{captured}"
    );
    assert_eq!(
        captured
            .matches("-A PREROUTING -p tcp -j ISTIO_INBOUND")
            .count(),
        1
    );
    for _ in 0..2 {
        wire.captures();
        assert_eq!(wire.rules(), captured);
    }
    // Another command line replaces the rules of the first.
    let other = wire.capture(&["-x", "10.1.0.0/16", "--drop-invalid=true"]);
    assert!(
        other.status.success(),
        "{}",
        String::from_utf8_lossy(&other.stderr)
    );
    let changed = wire.rules();
    assert!(
        changed.contains("-A ISTIO_OUTPUT -d 10.1.0.0/16 -j RETURN"),
        "{changed}"
    );
    assert!(changed.contains("-A ISTIO_DROP -j DROP"), "{changed}");
    wire.captures();
    let restored = wire.rules();
    assert!(
        !restored.contains("ISTIO_DROP") && !restored.contains("10.1.0.0/16"),
        "{restored}"
    );

    assert!(wire.capture(&["--cleanup-only"]).status.success());
    let left = wire.rules();
    assert!(!left.contains("ISTIO_"), "{left}");
    let rules = |text: &str| text.lines().filter(|line| line.starts_with("-A")).count();
    assert_eq!(rules(&left), rules(&before));
    assert!(left.contains("10.9.9.9"), "{left}");
}

#[test]
fn a_failure_leaves_nothing_behind_and_says_why() {
    let Some(wire) = Wire::new("failure") else {
        return;
    };
    // The kernel has no such interface name: the whole table is refused.
    let output = wire.capture(&["-c", "an-interface-with-a-much-too-long-name"]);
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.contains("iptables") && message.contains("failed"),
        "{message}"
    );
    assert!(!wire.rules().contains("ISTIO_"), "{}", wire.rules());
    let refused = wire.capture(&["--istio-inbound-interception-mode=TPROXY"]);
    assert!(!refused.status.success());
}
