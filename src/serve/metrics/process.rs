//! What this process takes of its machine, under the names that Prometheus' clients have for it: read from `/proc`
//! when asked. Says nothing where there is no `/proc`.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Ticks in a second, as the kernel counts for programs on every architecture that this is built for.
const TICKS: f64 = 100.0;

/// Asked at every scrape.
#[derive(Debug)]
pub(super) struct Process;

/// Seconds, bytes, and counts of files.
#[derive(Debug, PartialEq)]
struct Usage {
    cpu: f64,
    /// Since 1970.
    started: f64,
    resident: f64,
    mapped: f64,
    open: f64,
    most_open: Option<f64>,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(usage) = read() else {
            return Ok(());
        };
        let cpu = encoder.encode_descriptor(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(usage.cpu).encode(cpu)?;
        for (name, help, value) in [
            (
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds",
                Some(usage.started),
            ),
            (
                "process_resident_memory_bytes",
                "Resident memory size in bytes",
                Some(usage.resident),
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes",
                Some(usage.mapped),
            ),
            (
                "process_open_fds",
                "Number of open file descriptors",
                Some(usage.open),
            ),
            (
                "process_max_fds",
                "Maximum number of open file descriptors",
                usage.most_open,
            ),
        ] {
            let Some(value) = value else {
                continue;
            };
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}

fn read() -> Option<Usage> {
    let of_process = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
    // The listing holds one open itself.
    let open = fs::read_dir("/proc/self/fd")
        .ok()?
        .count()
        .saturating_sub(1);
    parse(
        &of_process("stat")?,
        &of_process("status")?,
        &of_process("limits")?,
        &fs::read_to_string("/proc/stat").ok()?,
        open,
    )
}

fn parse(stat: &str, status: &str, limits: &str, system: &str, open: usize) -> Option<Usage> {
    // The name of the program, in parentheses, may have anything in it.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // proc(5) counts from one, and two fields come before.
    let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let number = line.trim().trim_end_matches("kB").trim();
        number.parse::<f64>().ok().map(|number| number * 1024.0)
    };
    let booted = system.lines().find_map(|line| line.strip_prefix("btime "));
    let booted: f64 = booted?.trim().parse().ok()?;
    let most_open = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    Some(Usage {
        cpu: (ticks(14)? + ticks(15)?) / TICKS,
        started: booted + ticks(22)? / TICKS,
        resident: kilobytes("VmRSS:")?,
        mapped: kilobytes("VmSize:")?,
        open: u32::try_from(open).ok()?.into(),
        // `unlimited` is no number.
        most_open: most_open.and_then(|line| line.split_whitespace().next()?.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::{Usage, parse};
    use crate::metrics::{registry, render};

    #[test]
    fn what_the_kernel_says_is_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 4 0 12300 1 2 3\n";
        let status = "Name:\ta\nVmSize:\t  2048 kB\nVmRSS:\t   1024 kB\n";
        let limits = "Limit                     Soft Limit  Hard Limit  Units\n\
                      Max open files            1024        4096        files\n";
        let system = "cpu 1 2 3\nbtime 1000\n";
        let usage = Usage {
            cpu: 3.0,
            started: 1123.0,
            resident: 1024.0 * 1024.0,
            mapped: 2048.0 * 1024.0,
            open: 5.0,
            most_open: Some(1024.0),
        };
        assert_eq!(parse(stat, status, limits, system, 5), Some(usage));
        assert_eq!(parse("", status, limits, system, 5), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_memory_and_files() {
        let text = render(&registry("pilot"));
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok())
                .unwrap_or_else(|| panic!("{name} in {text}"))
        };
        assert!(value("process_resident_memory_bytes ") > 1e6);
        assert!(value("process_virtual_memory_bytes ") > value("process_resident_memory_bytes "));
        assert!(value("process_open_fds ") >= 1.0);
        assert!(value("process_max_fds ") >= value("process_open_fds "));
        assert!(value("process_start_time_seconds ") > 1.7e9);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
    }
}
