// What may happen between two users, and the errors of this module. No I/O.
import Contract
import ServiceKit

enum FriendshipError: Error, Equatable {
    /// A field, as the .proto file names it, breaks its rule, whose text follows the name. Neither holds the value.
    case invalid(_ field: String, _ rule: String)
    /// Also of who has blocked the caller, or may not be added by them.
    case noSuchUser
    case alreadyFriends
    case noSuchRequest
    case noSuchFriend
    case noSuchGroup
    case groupNameTaken
    case noSuchBlock
    case blockedByCaller
    /// The text says which limit, and whose.
    case limit(String)
    case aheadOfVersion(Int64)
}

/// A request for friendship, checked as far as it can be without asking anyone.
struct Proposal: Equatable {
    private static let messageRule = TextRule(characters: 0...256)

    let sender: Int64
    let recipient: Int64
    let message: String

    init(from sender: Int64, to recipient: Int64, message: String) throws(FriendshipError) {
        if sender == recipient { throw .invalid("to", "must be somebody else's") }
        if let violation = Self.messageRule.violation(by: message) { throw .invalid("message", violation) }
        self.sender = sender
        self.recipient = recipient
        self.message = message
    }
}

/// How the two users of a proposal stand to each other.
struct Standing {
    let recipientExists: Bool
    let areFriends: Bool
    let recipientBlocks: Bool
    let senderBlocks: Bool
    /// At most one is pending between two users, whichever of them asked.
    let pending: Ringway_V1_FriendRequest?
    let pendingIsOver: Bool
    let sent: Int
    let received: Int

    enum Outcome: Equatable {
        /// Store a new request, after the one that nobody has answered in time has ended.
        case ask(ending: Ringway_V1_FriendRequest?)
        /// The recipient has asked before: that request is hereby accepted.
        case accept(Ringway_V1_FriendRequest)
        /// The sender has asked before: that request is the answer.
        case repeated(Ringway_V1_FriendRequest)
    }

    /// Whether it depends on the recipient's own will that the sender may ask at all.
    var needsConsent: Bool { !areFriends && (pending == nil || pendingIsOver) }

    func outcome(of proposal: Proposal, _ settings: FriendshipSettings) throws(FriendshipError) -> Outcome {
        // Told by what the caller has done, so it tells nothing of the other.
        if senderBlocks { throw .blockedByCaller }
        guard recipientExists, !recipientBlocks else { throw .noSuchUser }
        guard !areFriends else { throw .alreadyFriends }
        if let pending, !pendingIsOver {
            return pending.from == proposal.sender ? .repeated(pending) : .accept(pending)
        }
        // What has ended makes room before it is counted.
        let endingSent = pending?.from == proposal.sender ? 1 : 0
        guard sent - endingSent < settings.requestsMax else {
            throw .limit("you have \(settings.requestsMax) pending requests, the most there may be; withdraw some first")
        }
        guard received - endingSent < settings.requestsMax else {
            throw .limit("that user has as many pending requests as there may be")
        }
        return .ask(ending: pending)
    }
}

/// The name of a friend group.
func checkedGroupName(_ name: String) throws(FriendshipError) -> String {
    if let violation = TextRule(characters: 1...64).violation(by: name) { throw .invalid("name", violation) }
    return name
}

/// What a user changes about a friend; nil leaves it as it is.
struct FriendChange: Equatable {
    let friend: Int64
    let group: Int64?
    let remark: String?

    init(of friend: Int64, group: Int64?, remark: String?) throws(FriendshipError) {
        if let remark, let violation = TextRule(characters: 0...64).violation(by: remark) {
            throw .invalid("remark", violation)
        }
        if let group, group < 0 { throw .invalid("group_id", "must not be negative") }
        guard group != nil || remark != nil else { throw .invalid("group_id", "or remark must be given") }
        self.friend = friend
        self.group = group
        self.remark = remark
    }
}

/// Which part of a list is asked for: `limit` entries beyond `cursor`, which is exclusive; 0 is the beginning.
struct Page: Equatable {
    let limit: Int
    let cursor: Int64

    init(
        limit: Int32, default defaultLimit: Int, maximum: Int, cursor: Int64, named name: String
    ) throws(FriendshipError) {
        guard limit >= 0, limit <= maximum else { throw .invalid("limit", "must be 0 to \(maximum)") }
        guard cursor >= 0 else { throw .invalid(name, "must not be negative") }
        self.limit = limit == 0 ? defaultLimit : Int(limit)
        self.cursor = cursor
    }

    private init(limit: Int, cursor: Int64) {
        self.limit = limit
        self.cursor = cursor
    }

    static func first(_ limit: Int) -> Page { Page(limit: limit, cursor: 0) }

    /// One entry more than asked for tells whether this page is the last.
    var fetched: Int { limit + 1 }

    /// The page of what was fetched, and where the next one begins: 0 when there is none.
    func cut<Entry>(_ entries: [Entry], id: (Entry) -> Int64) -> (entries: [Entry], next: Int64) {
        let page = Array(entries.prefix(limit))
        return (page, entries.count > limit ? page.last.map(id) ?? 0 : 0)
    }
}

/// More would make one query do too much at a time.
let relationsLimit = 1000
