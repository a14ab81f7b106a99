//! `[telemetry]`.

use super::super::Source;
use super::super::schema::Telemetry;
use super::filled;
use crate::model::TelemetrySettings;

pub(super) fn telemetry(source: &mut Source<'_>, table: Telemetry) -> TelemetrySettings {
    if let Some(listen) = table.listen.as_ref().filter(|listen| listen.get_ref().port() == 0) {
        source.error(listen.span(), format!("{} has no port; expected ADDRESS:PORT", listen.get_ref()));
    }
    if let Some(endpoint) = &table.endpoint {
        let text = endpoint.get_ref();
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.starts_with([':', '/']) || host.contains(char::is_whitespace))
        {
            let expected = "expected \"http://HOST:PORT\" or \"https://HOST:PORT\"";
            source.error(endpoint.span(), format!("`{text}` is no collector; {expected}"));
        }
    }
    TelemetrySettings {
        listen: table.listen.map(toml::Spanned::into_inner),
        endpoint: table.endpoint.map(toml::Spanned::into_inner),
        headers_file: table.headers_file.map(|file| filled(source, file).into()),
        service_name: table.service_name.map(|name| filled(source, name)),
        sampling: table.sampling.unwrap_or(true),
    }
}
