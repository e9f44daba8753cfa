// epoll, as much of it as a loop needs. Level-triggered; the loop thread only.
import CEventLoop
import Glibc

package final class Poller {
    package struct Interest: OptionSet {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        package static let read = Interest(rawValue: EPOLLIN.rawValue)
        package static let write = Interest(rawValue: EPOLLOUT.rawValue)
    }

    private let descriptor: Int32
    private var events: [epoll_event]

    package init() {
        descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        precondition(descriptor >= 0, "epoll_create1: the process is out of file descriptors")
        events = Array(repeating: epoll_event(), count: 64)
    }

    deinit {
        close(descriptor)
    }

    package func add(_ watched: Int32, token: UInt64, interest: Interest) {
        control(EPOLL_CTL_ADD, watched, token, interest)
    }

    package func change(_ watched: Int32, token: UInt64, interest: Interest) {
        control(EPOLL_CTL_MOD, watched, token, interest)
    }

    package func remove(_ watched: Int32) {
        control(EPOLL_CTL_DEL, watched, 0, [])
    }

    /// Calls `ready` for each descriptor with something to do. A negative timeout waits for ever.
    package func wait(milliseconds: Int32, ready: (UInt64) -> Void) {
        let count = epoll_wait(descriptor, &events, Int32(events.count), milliseconds)
        // EINTR is the only failure a valid descriptor can have; the loop comes round again.
        for index in 0..<max(0, Int(count)) { ready(events[index].data.u64) }
    }

    private func control(_ operation: Int32, _ watched: Int32, _ token: UInt64, _ interest: Interest) {
        var event = epoll_event(events: interest.rawValue, data: epoll_data_t(u64: token))
        epoll_ctl(descriptor, operation, watched, &event)
    }
}
