// What may happen between two users, decided without a database.
import Contract
import Testing

@testable import Friendship

@Suite struct RulesTests {
    private func proposal() throws -> Proposal { try Proposal(from: 1, to: 2, message: "hi") }

    @Test func proposal__is_never_to_oneself() {
        #expect(throws: FriendshipError.invalid("to", "must be somebody else's")) { try Proposal(from: 1, to: 1, message: "") }
    }

    @Test func proposal__greets_in_0_to_256_characters() throws {
        for message in ["", String(repeating: "é", count: 256)] {
            #expect(try Proposal(from: 1, to: 2, message: message).message == message)
        }
        for message in [String(repeating: "e", count: 257), "a\0", "a\nb"] {
            #expect(throws: FriendshipError.self) { try Proposal(from: 1, to: 2, message: message) }
        }
    }

    @Test func standing__decides_what_a_proposal_comes_to() throws {
        let sent = Ringway_V1_FriendRequest.with { ($0.id, $0.from, $0.to) = (7, 1, 2) }
        let received = Ringway_V1_FriendRequest.with { ($0.id, $0.from, $0.to) = (8, 2, 1) }
        func outcome(
            exists: Bool = true, friends: Bool = false, blocked: Bool = false, blocks: Bool = false,
            pending: Ringway_V1_FriendRequest? = nil, over: Bool = false, sent: Int = 0, received: Int = 0
        ) throws -> Standing.Outcome {
            var settings = FriendshipSettings()
            settings.requestsMax = 3
            return try Standing(
                recipientExists: exists, areFriends: friends, recipientBlocks: blocked, senderBlocks: blocks,
                pending: pending, pendingIsOver: over, sent: sent, received: received
            ).outcome(of: proposal(), settings)
        }
        #expect(try outcome() == .ask(ending: nil))
        #expect(try outcome(pending: sent) == .repeated(sent))
        #expect(try outcome(pending: received) == .accept(received))
        #expect(try outcome(pending: sent, over: true) == .ask(ending: sent))
        #expect(try outcome(pending: received, over: true) == .ask(ending: received))
        #expect(throws: FriendshipError.alreadyFriends) { try outcome(friends: true) }
        #expect(throws: FriendshipError.noSuchUser) { try outcome(exists: false) }
        #expect(throws: FriendshipError.noSuchUser) { try outcome(blocked: true) }
        for blocked in [true, false] {
            #expect(throws: FriendshipError.blockedByCaller) { try outcome(exists: !blocked, blocked: blocked, blocks: true) }
        }
        #expect(throws: FriendshipError.self) { try outcome(sent: 3) }
        #expect(throws: FriendshipError.self) { try outcome(received: 3) }
        #expect(try outcome(pending: sent, over: true, sent: 3, received: 3) == .ask(ending: sent))
    }

    @Test func page__has_a_default_and_bounds() throws {
        func page(_ limit: Int32, _ cursor: Int64 = 0) throws -> Page {
            try Page(limit: limit, default: 50, maximum: 200, cursor: cursor, named: "before")
        }
        #expect(try page(0).limit == 50)
        #expect(try page(1).limit == 1)
        #expect(try page(200).limit == 200)
        #expect(throws: FriendshipError.invalid("limit", "must be 0 to 200")) { try page(201) }
        #expect(throws: FriendshipError.self) { try page(-1) }
        #expect(throws: FriendshipError.invalid("before", "must not be negative")) { try page(1, -1) }
    }

    @Test func page__says_where_the_next_one_begins() throws {
        let page = try Page(limit: 2, default: 50, maximum: 200, cursor: 0, named: "after")
        #expect(page.cut([Int64](), id: \.self) == ([], 0))
        #expect(page.cut([1, 2] as [Int64], id: \.self) == ([1, 2], 0))
        #expect(page.cut([1, 2, 3] as [Int64], id: \.self) == ([1, 2], 2))
    }
}
