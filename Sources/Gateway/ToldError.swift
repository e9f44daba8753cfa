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
        field = error.field ?? ""
        retryAfterMs = retryAfter > 0 ? retryAfter : Int32(clamping: error.retryAfterMilliseconds ?? 0)
    }
}
