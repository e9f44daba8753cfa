// How the rest of the program talks to a client's loop thread: messages under a lock, an eventfd to wake the loop.
// Any thread posts; only the loop takes. The loop owns everything else of its client, so this lock is the only one.
import CEventLoop
import Glibc
import Synchronization

package final class Mailbox<Message: Sendable>: Sendable {
    private struct State {
        var messages: [Message] = []
        var loopSleeps = false
        var isClosed = false
    }

    private let state = Mutex(State())
    private let counter = Atomic<UInt64>(0)
    /// Readable when the loop should look into the mailbox.
    package let wakeDescriptor: Int32

    package init() {
        wakeDescriptor = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        precondition(wakeDescriptor >= 0, "eventfd: the process is out of file descriptors")
    }

    deinit {
        close(wakeDescriptor)
    }

    /// A number that is never given again in the mailbox's life.
    package func nextNumber() -> UInt64 {
        counter.add(1, ordering: .relaxed).newValue
    }

    /// False when the loop has ended: the message will never be read, and its sender has to answer for itself.
    @discardableResult
    package func post(_ message: Message) -> Bool {
        let (accepted, mustWake) = state.withLock { state in
            if state.isClosed { return (false, false) }
            state.messages.append(message)
            // The first to find it asleep wakes it; while it runs, no system call is needed.
            defer { state.loopSleeps = false }
            return (true, state.loopSleeps)
        }
        if mustWake { eventfd_write(wakeDescriptor, 1) }
        return accepted
    }

    /// Loop only: all messages since the last call. With none, the next post will wake the loop.
    package func take(into batch: inout [Message]) {
        state.withLock { state in
            swap(&batch, &state.messages)
            state.loopSleeps = batch.isEmpty
        }
    }

    /// Loop only: after epoll said that the descriptor is readable.
    package func acknowledgeWake() {
        var count: eventfd_t = 0
        eventfd_read(wakeDescriptor, &count)
    }

    /// Loop only, at its end: what came too late.
    package func finish() -> [Message] {
        state.withLock { state in
            state.isClosed = true
            defer { state.messages = [] }
            return state.messages
        }
    }
}
