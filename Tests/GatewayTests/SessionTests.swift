// The rules of a session's place in its log, without sockets. Answers of mutating calls are compared instead of tested,
// because #expect takes what it tests by value.
import Reactor
import TestSupport
import Testing

@testable import Gateway

@Suite struct SessionTests {
    private func live(since: Int64 = 0, head: Int64 = 0) -> Session {
        var session = Session(connection: ConnectionID(raw: 1), format: .proto, headerToken: nil)
        session.phase = .authenticating
        session.resume(since: since, head: head)
        return session
    }

    @Test func live_events_in_order__are_sent_at_once() {
        var session = live(since: 41, head: 41)
        for seq in Int64(42)...50 {
            #expect(session.takesNow(seq) == true)
            session.queued(seq)
        }
        #expect(session.delivered == 50)
        #expect(session.beginPull() == nil)
    }

    @Test func resume_behind_the_head__pulls_before_anything_live() {
        var session = live(since: 3, head: 5)
        #expect(session.takesNow(6) == false)
        #expect(session.beginPull() == 3)
        for seq in Int64(4)...6 { session.queued(seq) }
        session.endPull()
        #expect(session.beginPull() == nil)
        #expect(session.takesNow(7) == true)
    }

    @Test func event_ahead__is_pulled_for_and_not_sent() {
        var session = live()
        #expect(session.takesNow(2) == false)
        #expect(session.delivered == 0)
        #expect(session.known == 2)
        #expect(session.beginPull() == 0)
    }

    @Test func event_that_comes_twice__is_sent_once() {
        var session = live()
        #expect(session.takesNow(1) == true)
        session.queued(1)
        #expect(session.takesNow(1) == false)
        #expect(session.beginPull() == nil)
    }

    @Test func only_one_pull__is_under_way() {
        var session = live(head: 2)
        #expect(session.beginPull() == 0)
        #expect(session.beginPull() == nil)
        // The very next event, but the pull will bring it.
        #expect(session.takesNow(1) == false)
        session.endPull()
        #expect(session.beginPull() == 0)
    }

    @Test func event_during_a_pull__is_pulled_for_afterwards() {
        var session = live(head: 1)
        #expect(session.beginPull() == 0)
        #expect(session.takesNow(2) == false)
        session.queued(1)
        session.endPull()
        #expect(session.beginPull() == 1)
    }

    @Test func full_queue__sends_nothing_until_it_is_writable() {
        var session = live()
        #expect(session.takesNow(1) == true)
        session.queueIsFull()
        #expect(!session.canSend)
        #expect(session.takesNow(1) == false)
        #expect(session.beginPull() == nil)
        let frames = session.writable()
        #expect(frames.isEmpty)
        #expect(session.canSend)
        #expect(session.beginPull() == 0)
    }

    @Test func hint__pulls_and_an_old_one_does_not() {
        var session = live(since: 5, head: 5)
        session.learn(3)
        #expect(session.known == 5)
        #expect(session.beginPull() == nil)
        session.learn(9)
        #expect(session.beginPull() == 5)
    }

    @Test func sent_in_order__stands_for_its_event() {
        var session = live()
        session.sentAnswered(1)
        #expect(session.delivered == 1)
        #expect(session.takesNow(2) == true)
    }

    @Test func sent_ahead_of_the_log__is_passed_over_when_the_log_catches_up() {
        var session = live(head: 1)
        #expect(session.beginPull() == 0)
        session.sentAnswered(2)
        #expect(session.delivered == 0)
        #expect(session.passesOver(1) == false)
        session.queued(1)
        #expect(session.passesOver(2) == true)
        #expect(session.delivered == 2)
        #expect(session.passesOver(2) == false)
        session.endPull()
        #expect(session.beginPull() == nil)
    }

    @Test func sent_while_the_queue_is_full__is_passed_over_later() {
        var session = live()
        #expect(session.wait([1]) == true)
        session.sentAnswered(1)
        #expect(session.delivered == 0)
        let frames = session.writable()
        #expect(frames == [[1]])
        #expect(session.beginPull() == 0)
        #expect(session.passesOver(1) == true)
    }

    @Test func sent_of_a_retry_that_was_delivered_already__changes_nothing() {
        var session = live(since: 10, head: 10)
        session.sentAnswered(4)
        #expect(session.delivered == 10)
        #expect(session.passesOver(4) == false)
    }

    @Test func waiting_frames__keep_their_order_and_are_bounded() {
        var session = live()
        #expect(!session.mustWait)
        for number in 0..<Session.waitingMax {
            #expect(session.wait([UInt8(truncatingIfNeeded: number)]) == true)
        }
        #expect(session.mustWait)
        #expect(session.wait([0]) == false)
        let frames = session.writable()
        #expect(frames.count == Session.waitingMax)
        #expect(frames[258] == [2])
        #expect(!session.mustWait)
    }

    @Test(arguments: [Session.Phase.awaitingHello, .authenticating, .closing])
    func session_that_is_not_live__takes_no_events(phase: Session.Phase) {
        var session = Session(connection: ConnectionID(raw: 1), format: .json, headerToken: "token")
        session.phase = phase
        #expect(session.takesNow(1) == false)
        #expect(session.beginPull() == nil)
        #expect(!session.canSend)
    }

    @Test func event_before_the_resume__is_not_forgotten() {
        var session = Session(connection: ConnectionID(raw: 1), format: .json, headerToken: nil)
        session.phase = .authenticating
        #expect(session.takesNow(8) == false)
        // The head was read before event 8 was committed.
        session.resume(since: 7, head: 7)
        #expect(session.beginPull() == 7)
    }

    /// Whatever the order in which live events, doubles, hints and pulls come, the socket sees 1, 2, 3, ... n.
    @Test(arguments: 0..<50)
    func any_order__delivers_each_event_once_and_in_order(seed: UInt64) {
        var random = SplitMix(state: seed)
        var session = live()
        var sent: [Int64] = []
        var committed: Int64 = 0
        var pulledFrom: Int64?
        for step in 0..<2000 {
            switch step < 1900 ? random.next() % 6 : 4 {
            case 0: committed += 1
            case 1 where committed > 0:
                let seq = Int64(random.next() % UInt64(committed)) + 1
                if session.takesNow(seq) {
                    sent.append(seq)
                    session.queued(seq)
                }
            case 2: session.learn(committed)
            case 3: session.queueIsFull()
            case 4:
                _ = session.writable()
                if step >= 1900 { session.learn(committed) }
                if let since = pulledFrom {
                    for seq in since..<min(committed, since + 10) where session.canSend {
                        sent.append(seq + 1)
                        session.queued(seq + 1)
                    }
                    session.endPull()
                    pulledFrom = nil
                } else {
                    pulledFrom = session.beginPull()
                }
            default:
                if pulledFrom == nil { pulledFrom = session.beginPull() }
            }
        }
        #expect(sent == Array(1...committed))
    }
}
