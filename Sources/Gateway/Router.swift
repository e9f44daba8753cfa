// From a commit to the sockets: every session of the recipient, the sender's own other sessions, and the answer to the
// one that sent it, on whichever reactors they are.
import Inbox
import Synchronization

final class Router: Sendable {
    let directory = Directory()
    private let mailboxes = Mutex<[Mailbox]>([])

    /// Reactors are added in the order of their indexes, before any of them serves.
    func add(_ mailbox: Mailbox) {
        mailboxes.withLock { $0.append(mailbox) }
    }

    private func mailbox(_ reactor: Int) -> Mailbox? {
        mailboxes.withLock { $0.indices.contains(reactor) ? $0[reactor] : nil }
    }

    /// Called with each message's result, in the order of the commits.
    func answered(_ message: OutgoingMessage, _ result: Result<Appended, InboxWriter.Failure>, origin: SessionID) {
        if case .success(let appended) = result, let recipientSeq = appended.recipientSeq {
            let copy = LogEvent(seq: recipientSeq, at: appended.at, payload: message.recipientPayload)
            route(copy, to: message.recipient, except: nil)
            let own = LogEvent(seq: appended.senderSeq, at: appended.at, payload: message.senderPayload)
            route(own, to: message.sender, except: origin)
        }
        mailbox(origin.reactor)?.post(.answer(to: origin, clientID: message.clientID, result))
    }

    private func route(_ event: LogEvent, to user: Int64, except: SessionID?) {
        for reactor in directory.reactors(of: user) {
            mailbox(reactor)?.post(.event(user: user, event, except: except))
        }
    }

    /// Every reactor is told, because those who write to the user may be on any.
    func hint(user: Int64, seq: Int64) {
        for mailbox in mailboxes.withLock({ $0 }) { mailbox.post(.changed(user: user)) }
        for reactor in directory.reactors(of: user) {
            mailbox(reactor)?.post(.hint(user: user, seq: seq))
        }
    }

    /// To whom the user may write has changed: each reactor that remembers asks again.
    func forgetPermissions(of user: Int64) {
        for reactor in directory.reactors(of: user) {
            mailbox(reactor)?.post(.permissions(user: user))
        }
    }

    func revoke(_ keys: Set<String>) {
        for mailbox in mailboxes.withLock({ $0 }) { mailbox.post(.keysRevoked(keys)) }
    }

    func endDevice(_ device: Int64, of user: Int64) {
        for reactor in directory.reactors(of: user) {
            mailbox(reactor)?.post(.deviceEnded(user: user, device: device))
        }
    }

    func devicesMayHaveEnded() {
        for mailbox in mailboxes.withLock({ $0 }) { mailbox.post(.devicesMayHaveEnded) }
    }

    func hintsLost() {
        for mailbox in mailboxes.withLock({ $0 }) { mailbox.post(.hintsLost) }
    }
}
