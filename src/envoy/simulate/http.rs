//! A connection manager: the route of a request, then the filters in their order, which may answer by
//! themselves, hold it up, or let it go on.

use std::time::Duration;

use proto::codec::type_url;
use proto::envoy::extensions::filters::common::fault::v3::fault_delay::FaultDelaySecifier;
use proto::envoy::extensions::filters::http::fault::v3::{HttpFault, fault_abort::ErrorType};
use proto::envoy::extensions::filters::http::rbac::v3::Rbac;
use proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, http_connection_manager::RouteSpecifier, http_filter,
};
use proto::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
use proto::unpack::Unpack;

use super::answer::{Answer, Outcome, Stage, refused, step};
use super::call::{Connection, Request};
use super::chain::Hop;
use super::route::Found;
use super::{action, matching, policy, route};

/// The filter whose settings routes may have.
const FAULT: &str = "envoy.filters.http.fault";

pub(super) fn manage(
    hop: &Hop<'_>,
    manager: &HttpConnectionManager,
    request: Request,
    connection: Connection,
) -> Answer {
    let mut steps = Vec::new();
    let (routes, hosts) = match &manager.route_specifier {
        Some(RouteSpecifier::RouteConfig(own)) => {
            let mut own = own.clone();
            let hosts = std::mem::take(&mut own.virtual_hosts).into_iter();
            (own, hosts.map(|host| (host, Vec::new())).collect())
        }
        Some(RouteSpecifier::Rds(rds)) => match hop.view.routes(&rds.route_config_name) {
            Some(known) => {
                let origin = hop.view.origin(type_url::ROUTE, &rds.route_config_name);
                steps.push(step(Stage::Routes, &rds.route_config_name, "", &origin));
                known
            }
            None => {
                return refused(
                    None,
                    format!("routes {} are missing", rds.route_config_name),
                );
            }
        },
        _ => return refused(None, "the connection manager has no routes"),
    };
    let found = route::find(&routes, hosts, &request);
    // There is nothing to choose from on the way in.
    if hop.delivered.is_none() {
        steps.extend(found.steps);
    }
    let parts = found.routes.into_iter().map(|(share, found)| {
        let way = Way {
            hop,
            found: &found,
            request: &request,
            connection: &connection,
            alpn: manager
                .http_filters
                .iter()
                .any(|own| own.name == "istio.alpn"),
        };
        (share, way.filter(&manager.http_filters))
    });
    Answer::split(parts.collect()).after(steps)
}

/// A request on its way through the filters.
pub(super) struct Way<'a> {
    pub(super) hop: &'a Hop<'a>,
    pub(super) found: &'a Found,
    pub(super) request: &'a Request,
    pub(super) connection: &'a Connection,
    /// Whether ALPN tells the other side of the mesh what is inside.
    pub(super) alpn: bool,
}

impl Way<'_> {
    fn filter(&self, filters: &[HttpFilter]) -> Answer {
        let mut steps = Vec::new();
        for (place, filter) in filters.iter().enumerate() {
            let Some(http_filter::ConfigType::TypedConfig(config)) = &filter.config_type else {
                continue;
            };
            if let Some(rules) = Rbac::unpack(config) {
                let checked = policy::request(&rules, self.connection, self.request);
                steps.push(checked.step);
                if let Some(why) = checked.denied {
                    return refused(Some(403), why).after(steps);
                }
            } else if HttpFault::unpack(config).is_some() {
                if let Some(fault) = self.fault() {
                    let rest = self.filter(&filters[place + 1..]);
                    return self.failing(&fault, &rest).after(steps);
                }
            } else if config.type_url.ends_with("JwtAuthentication") {
                let said = "checks tokens; the call is taken to carry none";
                steps.push(step(Stage::Filter, &filter.name, said, &[]));
            } else if config.type_url.ends_with("ExtAuthz")
                || config.type_url.ends_with("RateLimit")
            {
                let said = "asks another service, which is taken to agree";
                steps.push(step(Stage::Filter, &filter.name, said, &[]));
            }
        }
        self.go().after(steps)
    }

    /// What goes wrong on purpose with this request.
    fn fault(&self) -> Option<HttpFault> {
        let Found::Route { route, host } = self.found else {
            return None;
        };
        let own = route.typed_per_filter_config.get(FAULT);
        let own = own.or_else(|| host.typed_per_filter_config.get(FAULT))?;
        let fault = HttpFault::unpack(own)?;
        let meant = fault.headers.iter();
        meant
            .clone()
            .all(|own| matching::header(own, self.request))
            .then_some(fault)
    }

    /// The delay first, then the abort, each with its own share.
    fn failing(&self, fault: &HttpFault, rest: &Answer) -> Answer {
        let mut parts = vec![(1.0, Duration::ZERO)];
        if let Some(delay) = &fault.delay
            && let Some(FaultDelaySecifier::FixedDelay(by)) = &delay.fault_delay_secifier
        {
            let by = Duration::new(
                u64::try_from(by.seconds).unwrap_or_default(),
                u32::try_from(by.nanos).unwrap_or_default(),
            );
            let held_up = share(delay.percentage.as_ref());
            parts = vec![(held_up, by), (1.0 - held_up, Duration::ZERO)];
        }
        let aborted = fault.abort.as_ref().and_then(|abort| {
            let (status, why) = match abort.error_type.as_ref()? {
                ErrorType::HttpStatus(status) => (*status, "a fault on purpose".to_owned()),
                ErrorType::GrpcStatus(status) => {
                    (200, format!("a fault on purpose with gRPC status {status}"))
                }
                ErrorType::HeaderAbort(_) => return None,
            };
            let end = Answer::of(Outcome::DirectResponse { status, why });
            Some((share(abort.percentage.as_ref()), end))
        });
        let parts = parts.into_iter().map(|(part, by)| {
            let inner = match &aborted {
                None => rest.clone(),
                Some((lost, end)) => {
                    Answer::split(vec![(*lost, end.clone()), (1.0 - lost, rest.clone())])
                }
            };
            (part, inner.delayed(by))
        });
        Answer::split(parts.collect())
    }

    fn go(&self) -> Answer {
        match self.found {
            Found::Nothing => Answer::of(Outcome::NoRoute),
            Found::ToTls => Answer::of(Outcome::Redirect {
                status: 301,
                location: format!("https://{}{}", self.request.authority, self.request.path),
            }),
            Found::Route { route, .. } if self.hop.delivered.is_some() => action::take(self, route),
            Found::Route { route, host } => {
                action::take(self, route).after(vec![route::described(route, host)])
            }
        }
    }
}

/// A share as a fraction.
pub(super) fn share(percent: Option<&FractionalPercent>) -> f64 {
    let Some(percent) = percent else { return 0.0 };
    let of = match DenominatorType::try_from(percent.denominator) {
        Ok(DenominatorType::Million) => 1e6,
        Ok(DenominatorType::TenThousand) => 1e4,
        _ => 100.0,
    };
    (f64::from(percent.numerator) / of).min(1.0)
}
