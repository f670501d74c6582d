//! What all resources have in common, and which of their attributes are shown.

use scim_v2::filter::{AttrPath, PatchPath};
use serde_json::{Value, json};
use tokenhouse_core::clock::Timestamp;

use super::etag;
use super::schema::{Place, ResourceType};
use super::value::Object;

/// A resource as it is shown, and what the headers say of it.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) value: Object,
    pub(super) location: String,
    pub(super) version: i64,
}

/// About a resource itself.
pub(super) struct Meta {
    shown: Value,
    location: String,
    version: i64,
}

pub(super) fn meta(
    resource: &ResourceType,
    id: &str,
    base: &str,
    (created, changed): (Timestamp, Timestamp),
    version: i64,
) -> Meta {
    let location = format!("{base}{}/{id}", resource.endpoint);
    let shown = json!({
        "resourceType": resource.name,
        "created": created,
        "lastModified": changed,
        "location": location,
        "version": etag::text(version),
    });
    Meta { shown, location, version }
}

impl Resource {
    pub(super) fn new(mut value: Object, meta: Meta) -> Self {
        value.insert("meta".into(), meta.shown);
        Self { value, location: meta.location, version: meta.version }
    }
}

/// Which attributes are shown (RFC 7644, section 3.9).
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Only these, if any are named.
    only: Vec<PatchPath>,
    /// All but these.
    without: Vec<PatchPath>,
}

/// What is always shown.
const ALWAYS: [&str; 2] = ["id", "schemas"];

impl Selection {
    /// Reads lists of names. What can't be a name shows and hides nothing.
    pub(super) fn new(only: &[String], without: &[String]) -> Self {
        let read = |names: &[String]| {
            let names = names.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
            names.filter_map(|name| name.parse().ok()).collect()
        };
        // An `attributes` of which nothing can be read still hides the rest.
        let mut only_read: Vec<PatchPath> = read(only);
        if only_read.is_empty() && only.iter().any(|name| !name.trim().is_empty()) {
            only_read.push(PatchPath::Attr(AttrPath::with_name("id")));
        }
        Self { only: only_read, without: read(without) }
    }

    /// As little as there is.
    pub(super) fn nothing() -> Self {
        Self::new(&["id".to_owned()], &[])
    }

    /// Whether an attribute is shown, at least in part.
    pub(super) fn shows(&self, resource: &'static ResourceType, attribute: &str) -> bool {
        let names = |path: &PatchPath, with_part: bool| {
            let found = place(resource, path);
            found.is_some_and(|(place, part)| {
                place.attribute.name == attribute && (with_part || part.is_none())
            })
        };
        if self.only.is_empty() {
            !self.without.iter().any(|path| names(path, false))
        } else {
            self.only.iter().any(|path| names(path, true))
        }
    }

    /// Leaves of a resource what is shown.
    pub(super) fn apply(&self, resource: &'static ResourceType, mut value: Object) -> Object {
        if !self.only.is_empty() {
            let mut kept = Object::new();
            for name in ALWAYS {
                kept.extend(value.remove(name).map(|value| (name.to_owned(), value)));
            }
            for path in &self.only {
                keep(resource, path, &value, &mut kept);
            }
            return kept;
        }
        for path in &self.without {
            remove(resource, path, &mut value);
        }
        value
    }
}

/// The attribute that a name stands for, and the part of it.
fn place(resource: &'static ResourceType, path: &PatchPath) -> Option<(Place, Option<&'static str>)> {
    let PatchPath::Attr(AttrPath { uri, name, sub_attr }) = path else { return None };
    let place = resource.find(uri.as_deref(), name)?;
    let part =
        sub_attr.as_deref().map(|part| place.attribute.part(part)).map(|part| part.map(|part| part.name));
    match part {
        Some(None) => None,
        Some(part) => Some((place, part)),
        None => Some((place, None)),
    }
}

/// The URN of the extension, if a name is that.
fn extension(resource: &ResourceType, path: &PatchPath) -> Option<&'static str> {
    let extension = resource.extension?;
    resource.is_extension(&path.to_string()).then_some(extension.id)
}

fn keep(resource: &'static ResourceType, path: &PatchPath, from: &Object, kept: &mut Object) {
    if let Some(urn) = extension(resource, path) {
        kept.extend(from.get(urn).map(|value| (urn.to_owned(), value.clone())));
        return;
    }
    let Some((Place { extension, attribute }, part)) = place(resource, path) else { return };
    let (from, kept) = match extension {
        None => (from, kept),
        Some(urn) => {
            let Some(Value::Object(inner)) = from.get(urn) else { return };
            let Value::Object(kept) = kept.entry(urn).or_insert_with(|| json!({})) else { return };
            (inner, kept)
        }
    };
    let Some(value) = from.get(attribute.name) else { return };
    let value = match part {
        None => value.clone(),
        Some(part) => only_part(value, kept.get(attribute.name), part),
    };
    kept.insert(attribute.name.to_owned(), value);
}

/// One part of a value or of each of several, together with the parts that are kept already.
fn only_part(value: &Value, kept: Option<&Value>, part: &str) -> Value {
    match value {
        Value::Array(values) => {
            let kept = |position| kept.and_then(|kept| kept.get(position));
            values
                .iter()
                .enumerate()
                .map(|(position, value)| only_part(value, kept(position), part))
                .collect()
        }
        value => {
            let mut parts = kept.and_then(Value::as_object).cloned().unwrap_or_default();
            parts.extend(value.get(part).map(|value| (part.to_owned(), value.clone())));
            Value::Object(parts)
        }
    }
}

fn remove(resource: &'static ResourceType, path: &PatchPath, value: &mut Object) {
    if let Some(urn) = extension(resource, path) {
        value.remove(urn);
        return;
    }
    let Some((Place { extension, attribute }, part)) = place(resource, path) else { return };
    if ALWAYS.contains(&attribute.name) {
        return;
    }
    let value = match extension {
        None => value,
        Some(urn) => match value.get_mut(urn) {
            Some(Value::Object(inner)) => inner,
            _ => return,
        },
    };
    match (part, value.get_mut(attribute.name)) {
        (None, _) => {
            value.remove(attribute.name);
        }
        (Some(part), Some(Value::Array(values))) => {
            for parts in values.iter_mut().filter_map(Value::as_object_mut) {
                parts.remove(part);
            }
        }
        (Some(part), Some(Value::Object(parts))) => {
            parts.remove(part);
        }
        (Some(_), _) => {}
    }
}
