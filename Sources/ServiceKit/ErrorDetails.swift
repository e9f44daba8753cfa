// What an error's metadata tell beside its code: which field is at fault, and when to try again. Services say it, and each
// door passes it on in its own form.
import GRPCCore

extension Metadata {
    private static let field = "field"
    private static let retryAfter = "retry-after-ms"

    /// The field that is at fault, as the .proto file names it.
    public static func fault(of field: String) -> Metadata { [Self.field: "\(field)"] }

    /// In whole milliseconds, one at least.
    public static func retry(after delay: Duration) -> Metadata {
        [retryAfter: "\(Swift.max(1, Int64((delay / .milliseconds(1)).rounded(.up))))"]
    }

    fileprivate var faultyField: String? { self[stringValues: Self.field].first { _ in true } }
    fileprivate var retryAfterMilliseconds: Int? {
        self[stringValues: Self.retryAfter].first { _ in true }.flatMap { Int($0) }
    }
}

extension RPCError {
    /// Of a request of which one field is at fault.
    public init(_ code: Code, _ message: String, field: String) {
        self.init(code: code, message: message, metadata: .fault(of: field))
    }

    public var field: String? { metadata.faultyField }

    /// Nil where there is nothing to wait for.
    public var retryAfterMilliseconds: Int? { metadata.retryAfterMilliseconds.flatMap { $0 > 0 ? $0 : nil } }
}
