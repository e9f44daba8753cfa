// From a commit to the reactors: who is where, what is left for whom, and the codes that connections end with.
import Foundation
import Reactor
import Synchronization
import Testing

@testable import Gateway
@testable import Inbox

@Suite struct DirectoryTests {
    @Test func sessions_on_one_reactor__are_counted() {
        let directory = Directory()
        directory.enter(1, reactor: 0)
        directory.enter(1, reactor: 0)
        directory.enter(1, reactor: 3)
        directory.enter(2, reactor: 1)
        #expect(directory.reactors(of: 1).sorted() == [0, 3])
        directory.leave(1, reactor: 0)
        #expect(directory.reactors(of: 1).sorted() == [0, 3])
        directory.leave(1, reactor: 0)
        #expect(directory.reactors(of: 1) == [3])
        directory.leave(1, reactor: 3)
        #expect(directory.reactors(of: 1).isEmpty)
        #expect(directory.reactors(of: 2) == [1])
    }

    @Test func leave_without_enter__changes_nothing() {
        let directory = Directory()
        directory.leave(1, reactor: 0)
        directory.enter(1, reactor: 1)
        directory.leave(1, reactor: 0)
        #expect(directory.reactors(of: 1) == [1])
    }
}

@Suite struct MailboxTests {
    @Test func post__wakes_only_when_the_box_was_empty() {
        let wakes = Counter()
        let mailbox = Mailbox { wakes.add() }
        #expect(mailbox.take().isEmpty)
        for seq in Int64(1)...5 { mailbox.post(.hint(user: 1, seq: seq)) }
        #expect(wakes.value == 1)
        #expect(mailbox.take().compactMap(\.hintedSeq) == [1, 2, 3, 4, 5])
        #expect(mailbox.take().isEmpty)
        mailbox.post(.hintsLost)
        #expect(wakes.value == 2)
    }

    @Test func posts_from_many_tasks__are_all_taken_and_each_in_order() async {
        let mailbox = Mailbox {}
        let (users, each) = (Int64(8), Int64(500))
        let taken = await withTaskGroup(of: Void.self) { group in
            for user in 0..<users {
                group.addTask { for seq in 1...each { mailbox.post(.hint(user: user, seq: seq)) } }
            }
            var taken: [Delivery] = []
            while taken.count < users * each {
                taken += mailbox.take()
                await Task.yield()
            }
            return taken
        }
        for user in 0..<users {
            let seqs = taken.compactMap { delivery in delivery.hintedUser == user ? delivery.hintedSeq : nil }
            #expect(seqs == Array(1...each))
        }
    }
}

@Suite struct RouterTests {
    private let router = Router()
    private let boxes = [Mailbox {}, Mailbox {}]
    private let origin = SessionID(reactor: 1, connection: ConnectionID(raw: 77))
    private let message = OutgoingMessage(
        sender: 1, device: 10, clientID: "m1", recipient: 2, senderPayload: [1], recipientPayload: [2])

    init() {
        for box in boxes { router.add(box) }
        router.directory.enter(1, reactor: 1)
        router.directory.enter(2, reactor: 0)
    }

    @Test func committed_message__goes_to_both_users_and_its_answer_last_to_the_sender() {
        let appended = Appended(senderSeq: 5, at: .now, recipientSeq: 9)
        router.answered(message, .success(appended), origin: origin)
        let toRecipient = boxes[0].take()
        #expect(toRecipient.count == 1)
        if case .event(let user, let event, let except) = toRecipient.first {
            #expect(user == 2)
            #expect(event.seq == 9)
            #expect(event.payload == [2])
            #expect(except == nil)
        } else {
            Issue.record("no event for the recipient")
        }
        let toSender = boxes[1].take()
        #expect(toSender.count == 2)
        if case .event(let user, let event, let except) = toSender.first {
            #expect(user == 1)
            #expect(event.seq == 5)
            #expect(event.payload == [1])
            #expect(except == origin)
        } else {
            Issue.record("no event for the sender's other sessions")
        }
        #expect(toSender.last?.answeredClientID == "m1")
    }

    @Test func retry_and_failure__are_only_answered() {
        router.answered(message, .success(Appended(senderSeq: 5, at: .now, recipientSeq: nil)), origin: origin)
        router.answered(message, .failure(.unavailable), origin: origin)
        #expect(boxes[0].take().isEmpty)
        #expect(boxes[1].take().map(\.answeredClientID) == ["m1", "m1"])
    }

    @Test func hints__go_where_the_user_is_and_changes_and_lost_ones_everywhere() {
        router.hint(user: 2, seq: 4)
        router.hint(user: 3, seq: 4)
        let taken = boxes.map { $0.take() }
        #expect(taken.map { $0.compactMap(\.hintedSeq) } == [[4], []])
        // Whoever writes to the two may be on any reactor.
        #expect(taken.map { $0.compactMap(\.changedUser) } == [[2, 3], [2, 3]])
        router.hintsLost()
        #expect(boxes.map { $0.take().count } == [1, 1])
    }

    @Test func answer_to_a_reactor_that_is_not_there__is_dropped() {
        let stranger = SessionID(reactor: 9, connection: ConnectionID(raw: 1))
        router.answered(message, .failure(.busy), origin: stranger)
        #expect(boxes.allSatisfy { $0.take().isEmpty })
    }
}

@Suite struct CloseCodeTests {
    private let codes = (UInt16.min...UInt16.max).compactMap(CloseCode.init(rawValue:))

    @Test func codes__tell_whether_to_connect_again() {
        #expect(codes.allSatisfy { (4000...4999).contains($0.rawValue) })
        #expect(Set(codes.filter { $0.rawValue < 4500 }) == [.draining, .silent, .slow, .noHello, .unavailable])
    }

    @Test func reasons__fit_a_close_frame() {
        #expect(codes.allSatisfy { (1...123).contains($0.reason.utf8.count) })
    }

    @Test func codes__are_those_of_the_document() throws {
        let document = URL(filePath: #filePath).appending(path: "../../../docs/protocol.md").standardizedFileURL
        let documented = try String(contentsOf: document, encoding: .utf8).split(separator: "\n").compactMap { line in
            line.hasPrefix("| 4") ? UInt16(line.dropFirst(2).prefix(4)) : nil
        }.filter { $0 >= 4000 }
        #expect(documented == codes.map(\.rawValue))
    }
}

private final class Counter: Sendable {
    private let count = Atomic(0)

    var value: Int { count.load(ordering: .relaxed) }

    func add() {
        count.add(1, ordering: .relaxed)
    }
}

extension Delivery {
    fileprivate var hintedSeq: Int64? {
        if case .hint(_, let seq) = self { seq } else { nil }
    }

    fileprivate var hintedUser: Int64? {
        if case .hint(let user, _) = self { user } else { nil }
    }

    fileprivate var answeredClientID: String? {
        if case .answer(_, let clientID, _) = self { clientID } else { nil }
    }
}

extension Delivery {
    fileprivate var changedUser: Int64? {
        if case .changed(let user) = self { user } else { nil }
    }
}
