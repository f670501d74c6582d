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

/// Which attributes of one type of resources are shown (RFC 7644, section 3.9).
#[derive(Debug)]
pub(super) struct Selection {
    /// Only these, and what is always shown.
    only: Option<Vec<Named>>,
    /// All but these.
    without: Vec<Named>,
}

/// What a name stands for.
#[derive(PartialEq, Eq, Debug)]
enum Named {
    /// All of the extension with this URN.
    Extension(&'static str),
    /// An attribute, or the part of it.
    Attribute(Place, Option<&'static str>),
}

/// What is always shown.
const ALWAYS: [&str; 2] = ["id", "schemas"];

impl Selection {
    /// Reads lists of names. What names nothing shows and hides nothing: an `attributes` of which nothing
    /// can be read still hides the rest.
    pub(super) fn new(resource: &'static ResourceType, only: &[String], without: &[String]) -> Self {
        let read = |names: &[String]| {
            let mut read = Vec::new();
            for named in names.iter().filter_map(|name| named(resource, name)) {
                if !read.contains(&named) {
                    read.push(named);
                }
            }
            read
        };
        Self { only: (!only.is_empty()).then(|| read(only)), without: read(without) }
    }

    /// As little as there is.
    pub(super) const fn nothing() -> Self {
        Self { only: Some(Vec::new()), without: Vec::new() }
    }

    /// Whether an attribute is shown, at least in part.
    pub(super) fn shows(&self, attribute: &str) -> bool {
        let names = |named: &Named, with_part: bool| match named {
            Named::Attribute(place, part) => {
                place.attribute.name == attribute && (with_part || part.is_none())
            }
            Named::Extension(_) => false,
        };
        match &self.only {
            Some(only) => only.iter().any(|named| names(named, true)),
            None => !self.without.iter().any(|named| names(named, false)),
        }
    }

    /// Leaves of a resource what is shown.
    pub(super) fn apply(&self, mut value: Object) -> Object {
        if let Some(only) = &self.only {
            let mut kept = Object::new();
            for name in ALWAYS {
                kept.extend(value.remove(name).map(|value| (name.to_owned(), value)));
            }
            for named in only {
                keep(named, &value, &mut kept);
            }
            return kept;
        }
        for named in &self.without {
            remove(named, &mut value);
        }
        value
    }
}

/// What a name stands for, if it is anything we know.
fn named(resource: &'static ResourceType, name: &str) -> Option<Named> {
    if let Some(extension) = resource.extension(name) {
        return Some(Named::Extension(extension.id));
    }
    let Ok(PatchPath::Attr(AttrPath { uri, name, sub_attr })) = name.parse() else { return None };
    let place = resource.find(uri.as_deref(), &name)?;
    let part = match sub_attr {
        Some(part) => Some(place.attribute.part(&part)?.name),
        None => None,
    };
    Some(Named::Attribute(place, part))
}

fn keep(named: &Named, from: &Object, kept: &mut Object) {
    let (Place { extension, attribute }, part) = match *named {
        Named::Attribute(place, part) => (place, part),
        Named::Extension(urn) => {
            kept.extend(from.get(urn).map(|value| (urn.to_owned(), value.clone())));
            return;
        }
    };
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

fn remove(named: &Named, value: &mut Object) {
    let (Place { extension, attribute }, part) = match *named {
        Named::Attribute(place, part) => (place, part),
        Named::Extension(urn) => {
            value.remove(urn);
            return;
        }
    };
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
