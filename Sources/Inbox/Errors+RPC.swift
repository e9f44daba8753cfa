// What a client is told of this module's errors. Failures of the database are mapped by ServiceKit, and a message that may
// not be sent is refused by the gateway.
import GRPCCore
import ServiceKit

extension InboxError: RPCErrorConvertible {
    var rpcErrorCode: RPCError.Code {
        switch self {
        case .invalid: .invalidArgument
        case .noLog: .notFound
        case .aheadOfHead: .outOfRange
        }
    }

    var rpcErrorMessage: String {
        switch self {
        case .invalid(let field, let rule): "\(field) \(rule)"
        case .noLog: "the account has no log"
        case .aheadOfHead(let head): "since is ahead of the log's head, \(head)"
        }
    }

    var rpcErrorMetadata: Metadata {
        switch self {
        case .invalid(let field, _): .fault(of: field)
        case .aheadOfHead: .fault(of: "since")
        default: [:]
        }
    }
}
