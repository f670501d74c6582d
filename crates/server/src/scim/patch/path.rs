//! What a path names.

use scim_v2::filter::{AttrPath, PatchPath, PatchValuePath};
use serde_json::Value;
use tokenhouse_core::people::fold;
use tokenhouse_store::directory::{Comparison, Inside};

use super::{Object, invalid_path, no_target};
use crate::error::Error;
use crate::scim::filter;
use crate::scim::schema::{Attribute, Kind, Mutability, Place, ResourceType};

/// An attribute, or some of its values, or a part of them.
#[derive(Debug)]
pub(in crate::scim) struct Target {
    pub(in crate::scim) extension: Option<&'static str>,
    pub(in crate::scim) attribute: &'static Attribute,
    pub(in crate::scim) part: Option<&'static Attribute>,
    /// Which of several values.
    pub(in crate::scim) filter: Option<Inside>,
}

fn attribute_path(path: &PatchPath) -> &AttrPath {
    match path {
        PatchPath::Attr(path) | PatchPath::Value(PatchValuePath { attr: path, .. }) => path,
    }
}

/// The URN of an extension, if the path is that and nothing else. (It reads like the URN up to the last
/// colon, with an attribute `User`.)
pub(super) fn extension(resource: &ResourceType, path: &PatchPath) -> Option<&'static str> {
    let PatchPath::Attr(AttrPath { uri: Some(urn), name, sub_attr: None }) = path else { return None };
    let extension = resource.extension?;
    resource.is_extension(&format!("{urn}:{name}")).then_some(extension.id)
}

/// Whether the path is about a schema that isn't ours: noise.
pub(super) fn is_foreign(resource: &ResourceType, path: &PatchPath) -> bool {
    attribute_path(path).uri.as_deref().is_some_and(|urn| !resource.knows(urn))
}

impl Target {
    /// What a path names, if there is that.
    pub(in crate::scim) fn resolve(resource: &'static ResourceType, path: &PatchPath) -> Result<Self, Error> {
        let AttrPath { uri, name, sub_attr } = attribute_path(path);
        let unknown = || invalid_path(format!("there is no attribute `{name}`"));
        let Place { extension, attribute } = resource.find(uri.as_deref(), name).ok_or_else(unknown)?;
        let (part, filter) = match path {
            PatchPath::Attr(_) => (sub_attr, None),
            PatchPath::Value(_) if !attribute.several || sub_attr.is_some() => {
                return Err(invalid_path(format!("`{}` has no values to choose from", attribute.name)));
            }
            PatchPath::Value(PatchValuePath { filter, sub_attr, .. }) => (sub_attr, Some(filter)),
        };
        let no_part = |part: &str| invalid_path(format!("`{}` has no part `{part}`", attribute.name));
        let part =
            part.as_deref().map(|part| attribute.part(part).ok_or_else(|| no_part(part))).transpose()?;
        let filter = filter.map(|filter| filter::inside(attribute, filter)).transpose()?;
        Ok(Self { extension, attribute, part, filter })
    }

    /// Who may change it.
    pub(super) fn mutability(&self) -> Mutability {
        self.attribute.mutability
    }

    /// Whether a value is one of those that are meant.
    pub(super) fn chooses(&self, value: &Value) -> bool {
        match (&self.filter, value) {
            (None, _) => true,
            (Some(filter), Value::Object(parts)) => holds(filter, parts),
            (Some(_), _) => false,
        }
    }

    /// A new value that the filter would choose, where none is there yet.
    pub(super) fn template(&self) -> Result<Object, Error> {
        let mut template = Object::new();
        if let Some(filter) = &self.filter {
            self.fill(&mut template, filter)?;
        }
        Ok(template)
    }

    fn fill(&self, template: &mut Object, filter: &Inside) -> Result<(), Error> {
        match filter {
            Inside::All(parts) => parts.iter().try_for_each(|part| self.fill(template, part)),
            Inside::Is(name, Comparison::Equal, text, _) => {
                let part = self.attribute.part(name).ok_or_else(|| no_target("no value is like this"))?;
                let value = match part.kind {
                    Kind::Boolean => Value::Bool(text == "true"),
                    _ => Value::String(text.clone()),
                };
                template.insert(part.name.to_owned(), value);
                Ok(())
            }
            _ => Err(no_target("no value is like this, and none can be made from the filter")),
        }
    }
}

/// Whether a value is like this.
fn holds(inside: &Inside, parts: &Object) -> bool {
    match inside {
        Inside::All(all) => all.iter().all(|inside| holds(inside, parts)),
        Inside::Any(any) => any.iter().any(|inside| holds(inside, parts)),
        Inside::Not(inside) => !holds(inside, parts),
        Inside::Present(name) => text(parts, name).is_some(),
        Inside::Is(name, comparison, wanted, exact) => text(parts, name).is_some_and(|text| {
            if *exact {
                compares(&text, *comparison, wanted)
            } else {
                compares(&fold(&text), *comparison, &fold(wanted))
            }
        }),
    }
}

fn text(parts: &Object, name: &str) -> Option<String> {
    match crate::scim::value::get(parts, name)? {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn compares(text: &str, comparison: Comparison, wanted: &str) -> bool {
    match comparison {
        Comparison::Equal => text == wanted,
        Comparison::Contains => text.contains(wanted),
        Comparison::StartsWith => text.starts_with(wanted),
        Comparison::EndsWith => text.ends_with(wanted),
        Comparison::Greater => text > wanted,
        Comparison::GreaterOrEqual => text >= wanted,
        Comparison::Less => text < wanted,
        Comparison::LessOrEqual => text <= wanted,
    }
}

/// Whether a value has everything that another one names.
pub(super) fn says_all_of(known: &Value, named: &Value) -> bool {
    match (known, named) {
        (Value::Object(known), Value::Object(named)) => {
            named.iter().all(|(name, value)| known.get(name) == Some(value))
        }
        (known, named) => known == named,
    }
}
