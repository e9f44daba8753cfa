// The audience rule: may this viewer do or see that of this owner? Everyone, friends, one group of the owner's or
// nobody, and never across a block, whichever of the two set it. This is the only place that decides it; all others ask
// SettingsService.CheckAudience. No I/O.
import Contract

enum Audience: Equatable, Sendable {
    case everyone
    case friends
    /// The friends in this group of the owner's.
    case group(Int64)
    case nobody
}

/// What an audience is asked for; the numbers are those of the contract and of profile.privacy.
enum PrivacyField: Int16, CaseIterable, Sendable {
    case find = 1
    case add, message, presence, lastSeen, avatar

    /// What holds for a user who has never chosen.
    var fallback: Audience {
        switch self {
        case .find, .add, .avatar: .everyone
        case .message, .presence, .lastSeen: .friends
        }
    }
}

/// Whom one user means, field by field.
struct PrivacyRules: Equatable, Sendable {
    private var chosen: [PrivacyField: Audience] = [:]

    subscript(field: PrivacyField) -> Audience {
        get { chosen[field] ?? field.fallback }
        set { chosen[field] = newValue }
    }
}

/// How an owner stands to a viewer; as it is, to a stranger.
struct Standing: Equatable, Sendable {
    var areFriends = false
    /// The owner's group that holds the viewer; 0: none.
    var group: Int64 = 0
    var ownerBlocks = false
    var viewerBlocks = false

    static let stranger = Standing()

    /// Whether an audience of the owner's holds the viewer, who is someone else.
    func isMeant(by audience: Audience) -> Bool {
        if ownerBlocks || viewerBlocks { return false }
        return switch audience {
        case .everyone: true
        case .friends: areFriends
        case .group(let group): areFriends && group != 0 && group == self.group
        case .nobody: false
        }
    }
}

extension Ringway_V1_Profile {
    /// The profile as someone else may see it; nil: for them there is none.
    func shown(to standing: Standing, _ privacy: PrivacyRules) -> Ringway_V1_Profile? {
        // Whom the owner blocks sees nothing; who blocks the owner must still know whom.
        if standing.ownerBlocks { return nil }
        var shown = self
        if !standing.isMeant(by: privacy[.presence]) || status == .invisible { shown.status = .unspecified }
        if !standing.isMeant(by: privacy[.lastSeen]) { shown.clearLastSeen() }
        if !standing.isMeant(by: privacy[.avatar]) { shown.avatar = "" }
        return shown
    }
}
