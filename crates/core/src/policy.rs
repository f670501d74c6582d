//! Who may do what: the table of 1-product.md, "Permissions", as code. Nothing else decides it.

use crate::id::UserId;
use crate::people::{Role, UserType};
use crate::token::TokenKind;

/// Who is asking, with their role of this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The account.
    pub id: UserId,
    /// Its present role.
    pub role: Role,
    /// Human or service.
    pub user_type: UserType,
}

/// What an account may be allowed to do, apart from managing its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// See users and teams, introspect tokens.
    SeePeople,
    /// Make, change, deactivate users and service users; teams.
    ManagePeople,
    /// See and manage service tokens.
    ManageServiceTokens,
    /// Make SCIM tokens and use the SCIM endpoints.
    Provision,
    /// Read the audit trail, reviews, policies and alerts.
    Audit,
}

impl Permission {
    /// The lowest role that has it.
    pub const fn least_role(self) -> Role {
        match self {
            Self::SeePeople => Role::Manager,
            Self::ManagePeople | Self::ManageServiceTokens | Self::Provision | Self::Audit => Role::Admin,
        }
    }
}

/// What a caller gets to see of something that may not be theirs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Goes ahead.
    Granted,
    /// Must not even learn that it exists: 404.
    Hidden,
    /// Known to exist, but not theirs to do: 403.
    Forbidden,
}

impl Caller {
    /// Whether the caller's role has the permission.
    pub fn has(self, permission: Permission) -> bool {
        self.role >= permission.least_role()
    }

    /// Whether the caller can have personal tokens at all: humans only.
    pub fn has_personal_tokens(self) -> bool {
        self.user_type == UserType::Human
    }

    /// One token, to see, revoke, restore, rotate or delete it. A personal token is its owner's
    /// alone, whatever the caller's role.
    pub fn access_token(self, kind: TokenKind, owner: UserId) -> Access {
        let granted = match kind {
            TokenKind::Personal => self.id == owner,
            TokenKind::Service => self.has(Permission::ManageServiceTokens),
        };
        if granted { Access::Granted } else { Access::Hidden }
    }

    /// One profile: one's own, or anyone's for those who see people.
    pub fn access_profile(self, user: UserId) -> Access {
        if self.id == user || self.has(Permission::SeePeople) { Access::Granted } else { Access::Forbidden }
    }

    /// The requests that were made with the tokens of a user: one's own, or anyone's for those who audit; those of
    /// service users for Admins only, like their tokens.
    pub fn access_requests(self, user: UserId, user_type: UserType) -> Access {
        let granted = match user_type {
            UserType::Human => self.id == user || self.has(Permission::Audit),
            UserType::Service => self.has(Permission::ManageServiceTokens),
        };
        if granted { Access::Granted } else { Access::Forbidden }
    }

    /// An alert: the one person's it is for, whatever the caller's role, or of those who audit.
    pub fn access_alert(self, recipient: Option<UserId>) -> Access {
        let granted = recipient.map_or_else(|| self.has(Permission::Audit), |person| person == self.id);
        if granted { Access::Granted } else { Access::Hidden }
    }

    /// Revoking all tokens of a user: of oneself, and of service users for Admins. Another human's
    /// tokens are nobody else's to revoke.
    pub fn access_all_tokens(self, user: UserId, user_type: UserType) -> Access {
        let service = user_type == UserType::Service && self.has(Permission::ManageServiceTokens);
        if self.id == user || service { Access::Granted } else { Access::Forbidden }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn caller(id: i64, role: Role, user_type: UserType) -> Caller {
        Caller { id: UserId(id), role, user_type }
    }

    #[test]
    fn the_permission_table_holds() {
        use Permission::{Audit, ManagePeople, ManageServiceTokens, Provision, SeePeople};
        for (permission, member, manager, admin) in [
            (SeePeople, false, true, true),
            (ManagePeople, false, false, true),
            (ManageServiceTokens, false, false, true),
            (Provision, false, false, true),
            (Audit, false, false, true),
        ] {
            let has = Role::ALL.map(|role| caller(1, role, UserType::Human).has(permission));
            assert_eq!(has, [member, manager, admin], "{permission:?}");
        }
    }

    #[test]
    fn a_personal_token_is_its_owners_alone() {
        for role in Role::ALL {
            let me = caller(1, role, UserType::Human);
            assert_eq!(me.access_token(TokenKind::Personal, UserId(1)), Access::Granted);
            assert_eq!(me.access_token(TokenKind::Personal, UserId(2)), Access::Hidden);
        }
    }

    #[test]
    fn a_service_token_is_every_admins_and_nobody_elses() {
        for (role, access) in
            [(Role::Member, Access::Hidden), (Role::Manager, Access::Hidden), (Role::Admin, Access::Granted)]
        {
            assert_eq!(caller(1, role, UserType::Human).access_token(TokenKind::Service, UserId(9)), access);
            // Not even the service user's own, unless it is an Admin.
            assert_eq!(
                caller(9, role, UserType::Service).access_token(TokenKind::Service, UserId(9)),
                access
            );
        }
    }

    #[test]
    fn requests_are_seen_by_whoever_made_them_and_by_admins() {
        for role in Role::ALL {
            let (me, admin) = (caller(1, role, UserType::Human), role == Role::Admin);
            let others = if admin { Access::Granted } else { Access::Forbidden };
            assert_eq!(me.access_requests(UserId(1), UserType::Human), Access::Granted);
            assert_eq!(me.access_requests(UserId(2), UserType::Human), others);
            assert_eq!(me.access_requests(UserId(3), UserType::Service), others);
            let service = caller(3, role, UserType::Service);
            assert_eq!(service.access_requests(UserId(3), UserType::Service), others, "not even its own");
        }
    }

    #[test]
    fn an_alert_to_a_person_is_that_persons_alone() {
        for role in Role::ALL {
            let me = caller(1, role, UserType::Human);
            assert_eq!(me.access_alert(Some(UserId(1))), Access::Granted);
            assert_eq!(me.access_alert(Some(UserId(2))), Access::Hidden);
            let of_admins = if role == Role::Admin { Access::Granted } else { Access::Hidden };
            assert_eq!(me.access_alert(None), of_admins);
        }
    }

    #[test]
    fn all_tokens_of_another_human_are_out_of_reach() {
        let admin = caller(1, Role::Admin, UserType::Human);
        assert_eq!(admin.access_all_tokens(UserId(2), UserType::Human), Access::Forbidden);
        assert_eq!(admin.access_all_tokens(UserId(1), UserType::Human), Access::Granted);
        assert_eq!(admin.access_all_tokens(UserId(3), UserType::Service), Access::Granted);
        let member = caller(2, Role::Member, UserType::Human);
        assert_eq!(member.access_all_tokens(UserId(3), UserType::Service), Access::Forbidden);
    }
}
