// Waiting for signals.
import Dispatch

#if canImport(Glibc)
import Glibc
#endif

enum Signals: Int32 {
    case interrupt = 2
    case terminate = 15

    /// Returns when one of them arrives. A second one then has its usual effect: it ends the process at once.
    static func firstOf(_ signals: Signals...) async {
        let (arrivals, arrived) = AsyncStream.makeStream(of: Void.self)
        let sources = signals.map { signal in
            Glibc.signal(signal.rawValue, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: signal.rawValue, queue: .global())
            source.setEventHandler { arrived.yield() }
            source.resume()
            return source
        }
        for await _ in arrivals { break }
        for source in sources { source.cancel() }
        for signal in signals { Glibc.signal(signal.rawValue, SIG_DFL) }
    }
}
