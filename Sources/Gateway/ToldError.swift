// What a client is told of an error on its socket: nothing internal, whatever it was.
import Contract
import GRPCCore
import ServiceKit

extension Ringway_V1_Error {
    /// The error's metadata may name the field at fault.
    /// - Parameter retryAfter: milliseconds; 0: as the error's own metadata say, which is mostly never.
    init(telling error: RPCError, retryAfter: Int32 = 0) {
        self.init()
        switch error.code {
        case .unknown, .internalError, .dataLoss:
            code = RPCError.Code.internalError.canonicalName
            message = "internal error"
        default:
            code = error.code.canonicalName
            message = error.message
        }
        field = error.metadata[stringValues: "field"].first { _ in true } ?? ""
        let hinted = error.metadata[stringValues: "retry-after-ms"].first { _ in true }.flatMap { Int32($0) } ?? 0
        retryAfterMs = retryAfter > 0 ? retryAfter : max(0, hinted)
    }
}

extension RPCError {
    /// Of a frame of which one field is at fault, as the .proto file names it.
    init(_ code: Code, _ message: String, field: String) {
        self.init(code: code, message: message, metadata: ["field": "\(field)"])
    }
}
