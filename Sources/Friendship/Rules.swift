// What may happen between two users, and the errors of this module. No I/O.
import Contract
import ServiceKit

enum FriendshipError: Error, Equatable {
    /// A field breaks its rule; the text names the field and the rule, never the value.
    case invalid(String)
    case oneself
    case noSuchUser
    case alreadyFriends
    case noSuchRequest
    case noSuchFriend
}

/// A request for friendship, checked as far as it can be without asking anyone.
struct Proposal: Equatable {
    private static let messageRule = TextRule(characters: 0...256)

    let sender: Int64
    let recipient: Int64
    let message: String

    init(from sender: Int64, to recipient: Int64, message: String) throws(FriendshipError) {
        if sender == recipient { throw .oneself }
        if let violation = Self.messageRule.violation(by: message) { throw .invalid("message \(violation)") }
        self.sender = sender
        self.recipient = recipient
        self.message = message
    }
}

/// How the two users of a proposal stand to each other.
struct Standing {
    let recipientExists: Bool
    let areFriends: Bool
    /// At most one is pending between two users, whichever of them asked.
    let pending: Ringway_V1_FriendRequest?

    enum Outcome: Equatable {
        /// Store a new request.
        case ask
        /// The recipient has asked before: that request is hereby accepted.
        case accept(id: Int64)
        /// The sender has asked before: that request is the answer.
        case repeated(Ringway_V1_FriendRequest)
    }

    func outcome(of proposal: Proposal) throws(FriendshipError) -> Outcome {
        guard recipientExists else { throw .noSuchUser }
        guard !areFriends else { throw .alreadyFriends }
        guard let pending else { return .ask }
        return pending.from == proposal.sender ? .repeated(pending) : .accept(id: pending.id)
    }
}

/// Which part of a list is asked for: `limit` entries beyond `cursor`, which is exclusive; 0 is the beginning.
struct Page: Equatable {
    let limit: Int
    let cursor: Int64

    init(
        limit: Int32, default defaultLimit: Int, maximum: Int, cursor: Int64, named name: String
    ) throws(FriendshipError) {
        guard limit >= 0, limit <= maximum else { throw .invalid("limit must be 0 to \(maximum)") }
        guard cursor >= 0 else { throw .invalid("\(name) must not be negative") }
        self.limit = limit == 0 ? defaultLimit : Int(limit)
        self.cursor = cursor
    }

    /// One entry more than asked for tells whether this page is the last.
    var fetched: Int { limit + 1 }

    /// The page of what was fetched, and where the next one begins: 0 when there is none.
    func cut<Entry>(_ entries: [Entry], id: (Entry) -> Int64) -> (entries: [Entry], next: Int64) {
        let page = Array(entries.prefix(limit))
        return (page, entries.count > limit ? page.last.map(id) ?? 0 : 0)
    }
}

/// More would make one query do too much at a time.
let filterLimit = 1000
