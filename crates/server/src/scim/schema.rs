//! The attributes that are known, one table for all that depends on them: the schemas that are shown
//! (RFC 7643, section 7), how filters compare, and how what arrives is read.

use serde_json::{Value, json};

/// Schema of people.
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// Schema of what companies add to people.
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Schema of teams.
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// What kind of value an attribute has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Text; whether case makes a difference.
    Text {
        /// `caseExact`
        exact: bool,
    },
    /// True or false.
    Boolean,
    /// An instant.
    DateTime,
    /// An address of another resource, of one of these kinds.
    Reference(&'static [&'static str]),
    /// Several parts.
    Complex(&'static [Attribute]),
}

/// Who may set an attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutability {
    /// The client.
    ReadWrite,
    /// Only we.
    ReadOnly,
    /// The client, and nobody gets to see it.
    WriteOnly,
    /// The client, once.
    Immutable,
}

/// An attribute, or a part of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// Its name in the one spelling we answer with.
    pub name: &'static str,
    /// Its value.
    pub kind: Kind,
    /// Whether there can be several.
    pub several: bool,
    /// Who may set it.
    pub mutability: Mutability,
    /// Whether it has to be there.
    pub required: bool,
    /// What it means.
    pub description: &'static str,
}

const fn text(name: &'static str, description: &'static str) -> Attribute {
    Attribute {
        name,
        kind: Kind::Text { exact: false },
        several: false,
        mutability: Mutability::ReadWrite,
        required: false,
        description,
    }
}

const fn boolean(name: &'static str, description: &'static str) -> Attribute {
    Attribute { kind: Kind::Boolean, ..text(name, description) }
}

const fn complex(name: &'static str, parts: &'static [Attribute], description: &'static str) -> Attribute {
    Attribute { kind: Kind::Complex(parts), ..text(name, description) }
}

const fn several(attribute: Attribute) -> Attribute {
    Attribute { several: true, ..attribute }
}

const fn exact(attribute: Attribute) -> Attribute {
    Attribute { kind: Kind::Text { exact: true }, ..attribute }
}

const fn read_only(attribute: Attribute) -> Attribute {
    Attribute { mutability: Mutability::ReadOnly, ..attribute }
}

const fn immutable(attribute: Attribute) -> Attribute {
    Attribute { mutability: Mutability::Immutable, ..attribute }
}

const fn reference(kinds: &'static [&'static str], attribute: Attribute) -> Attribute {
    Attribute { kind: Kind::Reference(kinds), ..attribute }
}

const fn required(attribute: Attribute) -> Attribute {
    Attribute { required: true, ..attribute }
}

const NAME: &[Attribute] = &[
    text("formatted", "The whole name"),
    text("familyName", "Family name"),
    text("givenName", "Given name"),
    text("middleName", "Middle name"),
    text("honorificPrefix", "Title before the name"),
    text("honorificSuffix", "Suffix after the name"),
];

/// The parts that attributes with several values have.
const VALUES: &[Attribute] = &[
    text("value", "The value"),
    text("display", "A name for people"),
    text("type", "What it is for, such as work"),
    boolean("primary", "Whether it is the preferred one"),
];

const ADDRESS: &[Attribute] = &[
    text("formatted", "The whole address"),
    text("streetAddress", "Street and number"),
    text("locality", "Town"),
    text("region", "State or region"),
    text("postalCode", "Postal code"),
    text("country", "Country"),
    text("type", "What it is for, such as work"),
    boolean("primary", "Whether it is the preferred one"),
];

const MEMBERSHIP: &[Attribute] = &[
    read_only(exact(text("value", "Number of the team"))),
    reference(&["Group"], read_only(text("$ref", "Address of the team"))),
    read_only(text("display", "Name of the team")),
    read_only(text("type", "Always direct")),
];

/// Neither names, which would be read for each of many, nor types, since only people are members.
const MEMBER: &[Attribute] = &[
    immutable(exact(text("value", "Number of the person"))),
    reference(&["User"], immutable(text("$ref", "Address of the person"))),
];

const MANAGER: &[Attribute] = &[
    exact(text("value", "Number of the manager")),
    reference(&["User"], text("$ref", "Address of the manager")),
    text("displayName", "Name of the manager"),
];

const META: &[Attribute] = &[
    read_only(exact(text("resourceType", "User or Group"))),
    Attribute { kind: Kind::DateTime, ..read_only(text("created", "When it was made")) },
    Attribute { kind: Kind::DateTime, ..read_only(text("lastModified", "When it was changed last")) },
    reference(&["uri"], read_only(text("location", "Its address"))),
    read_only(exact(text("version", "Its entity tag"))),
];

/// What every resource has.
const COMMON: &[Attribute] = &[
    read_only(exact(text("id", "Its number"))),
    exact(text("externalId", "What the directory calls it")),
    read_only(complex("meta", META, "About the resource itself")),
];

/// What people have.
const USER_ATTRIBUTES: &[Attribute] = &[
    required(text("userName", "What they sign in with; unique, case ignored")),
    complex("name", NAME, "The parts of the name"),
    text("displayName", "The name they are shown by"),
    text("nickName", "What they are called"),
    reference(&["external"], text("profileUrl", "Their page elsewhere")),
    text("title", "Position"),
    text("userType", "What they are to the organization"),
    text("preferredLanguage", "Language"),
    text("locale", "Region whose formats they use"),
    text("timezone", "Time zone"),
    required(boolean("active", "Whether they may act; false stops their tokens at once")),
    Attribute {
        mutability: Mutability::WriteOnly,
        ..text("password", "Taken and not used: people choose theirs")
    },
    several(complex("emails", VALUES, "E-mail addresses")),
    several(complex("phoneNumbers", VALUES, "Telephone numbers")),
    several(complex("ims", VALUES, "Messengers")),
    several(complex("photos", VALUES, "Pictures")),
    several(complex("addresses", ADDRESS, "Postal addresses")),
    read_only(several(complex("groups", MEMBERSHIP, "Teams they are in"))),
    several(complex("entitlements", VALUES, "Kept and not used")),
    several(complex("roles", VALUES, "Member, Manager or Admin; anything else grants nothing")),
    several(complex("x509Certificates", VALUES, "Kept and not used")),
];

/// What companies add to people.
const ENTERPRISE_ATTRIBUTES: &[Attribute] = &[
    text("employeeNumber", "Number of the employee"),
    text("costCenter", "Cost centre"),
    text("organization", "Organization"),
    text("division", "Division"),
    text("department", "Department"),
    complex("manager", MANAGER, "Manager"),
];

/// What groups have.
const GROUP_ATTRIBUTES: &[Attribute] = &[
    required(text("displayName", "Name of the team; unique, case ignored")),
    several(complex("members", MEMBER, "People in the team")),
];

impl Attribute {
    /// The part with this name, case ignored.
    pub fn part(&self, name: &str) -> Option<&'static Self> {
        match self.kind {
            Kind::Complex(parts) => find(parts, name),
            _ => None,
        }
    }

    /// Whether texts are compared with case.
    pub const fn is_exact(&self) -> bool {
        !matches!(self.kind, Kind::Text { exact: false })
    }

    fn shown(&self) -> Value {
        let (kind, parts) = match self.kind {
            Kind::Text { .. } => ("string", None),
            Kind::Boolean => ("boolean", None),
            Kind::DateTime => ("dateTime", None),
            Kind::Reference(_) => ("reference", None),
            Kind::Complex(parts) => ("complex", Some(parts)),
        };
        let mut shown = json!({
            "name": self.name,
            "type": kind,
            "multiValued": self.several,
            "description": self.description,
            "required": self.required,
            "caseExact": matches!(self.kind, Kind::Text { exact: true } | Kind::Reference(_)),
            "mutability": match self.mutability {
                Mutability::ReadWrite => "readWrite",
                Mutability::ReadOnly => "readOnly",
                Mutability::WriteOnly => "writeOnly",
                Mutability::Immutable => "immutable",
            },
            "returned": if self.mutability == Mutability::WriteOnly { "never" } else { "default" },
            // Both names that are required are unique.
            "uniqueness": if self.required && self.kind != Kind::Boolean { "server" } else { "none" },
        });
        if let Some(parts) = parts {
            shown["subAttributes"] = parts.iter().map(Self::shown).collect();
        }
        if let Kind::Reference(kinds) = self.kind {
            shown["referenceTypes"] = json!(kinds);
        }
        shown
    }
}

/// The attribute with this name, case ignored.
fn find(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// A schema.
#[derive(Debug)]
pub struct Schema {
    /// Its URN.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub description: &'static str,
    /// Its attributes, without those that every resource has.
    pub attributes: &'static [Attribute],
}

impl Schema {
    /// The schema as it is shown.
    pub fn shown(&self) -> Value {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": self.attributes.iter().map(Attribute::shown).collect::<Vec<_>>(),
        })
    }
}

/// A type of resources.
#[derive(Debug)]
pub struct ResourceType {
    /// Its name, which is also that of its schema.
    pub name: &'static str,
    /// Where its resources are.
    pub endpoint: &'static str,
    /// Its schema.
    pub schema: &'static Schema,
    /// What can be there besides.
    pub extension: Option<&'static Schema>,
}

const USER_SCHEMA: Schema =
    Schema { id: USER, name: "User", description: "A person", attributes: USER_ATTRIBUTES };

const ENTERPRISE_SCHEMA: Schema = Schema {
    id: ENTERPRISE,
    name: "EnterpriseUser",
    description: "What companies add to people",
    attributes: ENTERPRISE_ATTRIBUTES,
};

const GROUP_SCHEMA: Schema =
    Schema { id: GROUP, name: "Group", description: "A team", attributes: GROUP_ATTRIBUTES };

/// Every schema.
pub const SCHEMAS: [&Schema; 3] = [&USER_SCHEMA, &ENTERPRISE_SCHEMA, &GROUP_SCHEMA];

/// People.
pub const PEOPLE: ResourceType = ResourceType {
    name: "User",
    endpoint: "/Users",
    schema: &USER_SCHEMA,
    extension: Some(&ENTERPRISE_SCHEMA),
};

/// Teams.
pub const GROUPS: ResourceType =
    ResourceType { name: "Group", endpoint: "/Groups", schema: &GROUP_SCHEMA, extension: None };

/// Where a value is: which attribute, and whether it is one of the extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The URN of the extension it is in.
    pub extension: Option<&'static str>,
    /// The attribute.
    pub attribute: &'static Attribute,
}

impl ResourceType {
    /// The attribute with this name, with the URN of its schema or without; case ignored.
    pub fn find(&self, urn: Option<&str>, name: &str) -> Option<Place> {
        let core = || {
            let attribute = find(COMMON, name).or_else(|| find(self.schema.attributes, name))?;
            Some(Place { extension: None, attribute })
        };
        let in_extension = |extension: &'static Schema| {
            Some(Place { extension: Some(extension.id), attribute: find(extension.attributes, name)? })
        };
        match urn {
            None => core().or_else(|| in_extension(self.extension?)),
            Some(urn) if urn.eq_ignore_ascii_case(self.schema.id) => core(),
            Some(urn) => in_extension(self.extension(urn)?),
        }
    }

    /// The extension with this URN; case ignored.
    pub fn extension(&self, urn: &str) -> Option<&'static Schema> {
        self.extension.filter(|extension| urn.eq_ignore_ascii_case(extension.id))
    }

    /// Whether this is the URN of one of its schemas.
    pub fn knows(&self, urn: &str) -> bool {
        urn.eq_ignore_ascii_case(self.schema.id) || self.extension(urn).is_some()
    }
}
