// /livez, /readyz and /metrics, on a port of their own that no client sees.
import Hummingbird
import Logging

/// Whether a node can serve.
public struct NodeReadiness: Sendable {
    /// Why not, by component; empty when it can.
    public var problems: [String: String] = [:]
    /// What it does without, by component.
    public var remarks: [String: String] = [:]

    public init() {}

    fileprivate var text: String {
        func lines(_ words: [String: String]) -> String {
            words.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }.joined()
        }
        return (problems.isEmpty ? "ready\n" : lines(problems)) + lines(remarks)
    }
}

/// What operators and their machines ask a node.
public struct OperationsAPI: Sendable {
    public typealias Readiness = @Sendable () async -> NodeReadiness
    /// In Prometheus' text format (version 0.0.4).
    public typealias Metrics = @Sendable () async -> String

    private let readiness: Readiness
    private let metrics: Metrics

    public init(readiness: @escaping Readiness, metrics: @escaping Metrics) {
        self.readiness = readiness
        self.metrics = metrics
    }

    public func application(host: String, port: Int, logger: Logger) -> some ApplicationProtocol {
        let router = Router()
        router.get("livez") { _, _ in "ok\n" }
        router.get("readyz") { [readiness] _, _ in
            let state = await readiness()
            return Response(
                status: state.problems.isEmpty ? .ok : .serviceUnavailable, headers: [.contentType: "text/plain"],
                body: .init(byteBuffer: ByteBuffer(string: state.text)))
        }
        router.get("metrics") { [metrics] _, _ in
            Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4"],
                body: .init(byteBuffer: ByteBuffer(string: await metrics())))
        }
        return Application(
            router: router, configuration: .init(address: .hostname(host, port: port), serverName: nil), logger: logger)
    }
}
