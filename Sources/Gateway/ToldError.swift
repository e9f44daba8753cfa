// What a client is told of an error on its socket: nothing internal, whatever it was.
import Contract
import GRPCCore
import ServiceKit

extension Ringway_V1_Error {
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
        let hinted = error.metadata[stringValues: "retry-after-ms"].first { _ in true }.flatMap { Int32($0) } ?? 0
        retryAfterMs = retryAfter > 0 ? retryAfter : max(0, hinted)
    }
}
