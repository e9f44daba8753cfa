// Answers every message with itself: the least that can be done with one, for conformance and for measuring the way through
// core and loop.

public final class EchoHandler: ReactorHandler {
    public init() {}

    public func started(on reactor: Reactor) {}

    public func drain(_ batch: borrowing EventBatch, on reactor: Reactor) {
        batch.forEach { event in
            // The core holds back a connection's further messages while its queue is above half, so an echo is
            // refused only by a peer that is gone.
            if event.kind == .message { _ = reactor.sendBack(event) }
        }
    }

    public func turned(on reactor: Reactor) {}
}
